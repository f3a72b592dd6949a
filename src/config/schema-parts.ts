import { z } from 'zod'

export const name = z.string().min(1)
export const milliseconds = z.number().int().nonnegative()
export const positive = z.number().int().positive()

export const loss = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('listwise') }),
    z.strictObject({
      kind: z.literal('pointwise'),
      negativesPerPositive: z.number().positive().default(3),
    }),
    z.discriminatedUnion('form', [
      z.strictObject({ kind: z.literal('pairwise'), form: z.literal('logistic') }),
      z.strictObject({
        kind: z.literal('pairwise'),
        form: z.literal('hinge'),
        margin: z.number().positive().default(1).describe('in logits'),
      }),
    ]),
  ])
  .default({ kind: 'listwise' })
