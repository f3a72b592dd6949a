import { z } from 'zod'

export const milliseconds = z.number().int().nonnegative()
export const positive = z.number().int().positive()
