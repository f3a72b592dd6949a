import { z } from 'zod'

const count = z.number().int().nonnegative()
const size = z.number().int().positive()

const feature = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('categorical'), name: z.string(), buckets: size, dim: size }),
  z.strictObject({
    kind: z.literal('numeric'),
    name: z.string(),
    transform: z.enum(['none', 'log1p']),
    mean: z.number(),
    deviation: z.number().positive(),
  }),
  z.strictObject({ kind: z.literal('dense'), name: z.string(), dim: size }),
])

const tower = z.strictObject({ features: z.array(feature), hidden: size })

/** A generation id is part of paths, topic keys and Redis hash tags. */
export const generationId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/)

/** manifest.json of a generation folder: written last, so a folder without it is not a generation. */
export const generationManifest = z.strictObject({
  format: z.literal(1),
  id: generationId,
  kind: z
    .enum(['bootstrap', 'full'])
    .describe('bootstrap: random initialisation; full: trained on whole days'),
  parent: z.string().nullable().describe('generation whose parameters training started from'),
  day: z.string().nullable().describe('last day trained on, UTC, YYYY-MM-DD'),
  createdAt: z.string().describe('ISO 8601'),
  seed: count.nullable().describe('of the random initialisation'),
  model: z.strictObject({
    dim: size,
    temperature: z.number().positive(),
    user: tower,
    item: tower,
  }),
  counts: z.strictObject({
    users: count.describe('user rows besides the default row'),
    items: count.describe('item rows besides the default row, and item vectors'),
  }),
  files: z
    .record(z.string(), z.strictObject({ bytes: count, sha256: z.string().length(64) }))
    .describe('file name -> what it must be'),
})

export type GenerationManifest = z.infer<typeof generationManifest>

/** JSON Schema of manifest.json, for those who make generations with other tools. */
export function generationManifestJsonSchema(): unknown {
  return z.toJSONSchema(generationManifest)
}
