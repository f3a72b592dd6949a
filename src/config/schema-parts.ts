import { z } from 'zod'

export const name = z.string().min(1)
export const milliseconds = z.number().int().nonnegative()
export const positive = z.number().int().positive()
