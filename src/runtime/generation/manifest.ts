import { z } from 'zod'
import { layerWidths } from '../../model/spec.ts'
import type { ModelSpec, TowerSpec } from '../../model/spec.ts'

const count = z.number().int().nonnegative()
const size = z.number().int().positive()
const offsets = z.array(count)

const feature = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('categorical'), name: z.string(), buckets: size, dim: size }),
  z.strictObject({
    kind: z.literal('vocabulary'),
    name: z.string(),
    values: z.array(z.string()),
    dim: size,
  }),
  z.strictObject({
    kind: z.literal('bucketised'),
    name: z.string(),
    boundaries: z.array(z.number()),
    dim: size,
  }),
  z.strictObject({
    kind: z.literal('numeric'),
    name: z.string(),
    transform: z.enum(['none', 'log1p']),
    mean: z.number().nullable(),
    deviation: z.number().positive().nullable(),
  }),
  z.strictObject({ kind: z.literal('dense'), name: z.string(), dim: size }),
])

const features = z.array(feature)
const tower = z
  .strictObject({
    features,
    hidden: z
      .union([size, z.array(size).min(1)])
      .transform(layerWidths)
      .optional()
      .describe('widths of the hidden layers; one number is one layer'),
    shortcut: z
      .literal('matrix')
      .optional()
      .describe('there is a shortcut matrix also where vectors are as wide as ID rows'),
    opaque: z
      .enum(['learning', 'frozen'])
      .optional()
      .describe(
        'the ONNX file is the tower, and run as it is; its ID rows learn through the gradient graph beside it, or are frozen',
      ),
  })
  .refine(({ hidden, opaque }) => (hidden === undefined) === (opaque !== undefined), {
    path: ['hidden'],
    message: 'must be there, or else `opaque`',
  })
  .transform(({ hidden = [], ...rest }) => ({ ...rest, hidden }))
  .meta({ oneOf: [{ required: ['hidden'] }, { required: ['opaque'] }] })

const model = z
  .strictObject({
    dim: size.describe('of ID rows'),
    temperature: z.number().positive(),
    popularityHalfLifeHours: z.number().positive().optional(),
    user: tower,
    item: tower,
    outputDim: size.optional().describe('of user and item vectors; absent: as `dim`'),
  })
  .transform((written) => ({ ...written, outputDim: written.outputDim ?? written.dim }))

/** The shortest form, so that a model which older versions can serve stays readable for them. */
export function writtenModel({ outputDim, user, item, ...model }: ModelSpec): unknown {
  const writtenTower = ({ hidden, ...tower }: TowerSpec) => ({
    ...tower,
    ...(hidden.length === 0 ? {} : { hidden: hidden.length === 1 ? hidden[0] : hidden }),
  })
  return {
    ...{ ...model, user: writtenTower(user), item: writtenTower(item) },
    ...(outputDim === model.dim ? {} : { outputDim }),
  }
}

const cuts = z.strictObject({
  examples: offsets.describe('first offset of each examples partition that is not part of `day`'),
  items: offsets.describe('likewise of each items partition: the catalogue of the day'),
})

const training = z.strictObject({
  examples: count.describe('examples of the day'),
  steps: count,
  batch: size.describe('examples a step'),
  seconds: z.number().nonnegative().describe('wall-clock time'),
  loss: z.number().describe('mean loss an example, before its update'),
})

const gate = z.strictObject({
  verdict: z.enum(['passed', 'ungated', 'failed']),
  why: z.string().describe('one line for people'),
  examples: count.describe('examples that this generation and its parent were compared on'),
  difference: z.number().nullable().describe('mean of this generation minus its parent'),
  interval: z
    .tuple([z.number(), z.number()])
    .nullable()
    .describe('95 % interval of the difference'),
})

/** A generation id is part of paths, topic keys and Redis hash tags. */
export const generationId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/)

/** manifest.json of a generation folder: written last, so a folder without it is not a generation. */
export const generationManifest = z.strictObject({
  format: z.literal(2),
  id: generationId,
  kind: z
    .enum(['bootstrap', 'full', 'imported'])
    .describe(
      'bootstrap: random initialisation; full: trained on whole days; imported: made elsewhere',
    ),
  parent: z.string().nullable().describe('generation whose parameters training started from'),
  day: z.string().nullable().describe('last day trained on, UTC, YYYY-MM-DD'),
  createdAt: z.string().describe('ISO 8601'),
  seed: count.nullable().describe('of the random initialisation'),
  cuts: cuts
    .nullable()
    .describe(
      'where incremental training of this generation begins; null: at the start of the topics',
    ),
  training: training.nullable().describe('the full update; null for a bootstrap generation'),
  gate: gate.nullable().describe('comparison with the parent; null for a bootstrap generation'),
  lineage: z
    .strictObject({
      steps: count.describe('steps of Adam so far'),
      examples: count.describe('examples that the frequency estimates have seen so far'),
    })
    .describe('over all full updates behind this generation'),
  model,
  counts: z.strictObject({
    users: count.describe('user rows besides the default row'),
    items: count.describe('item rows besides the default row, and item vectors'),
    recent: count.describe('recent clicks of all users together'),
  }),
  files: z
    .record(z.string(), z.strictObject({ bytes: count, sha256: z.string().length(64) }))
    .describe('file name -> what it must be'),
})

const importedTower = z.object({ features: features.default([]) }).prefault({})

/** What `freshet import` needs of a manifest.json; whatever else stands in it is passed over. */
export const importManifest = z.object({
  format: z.literal(2),
  day: z.string().nullable().default(null),
  model: z.object({
    dim: size,
    outputDim: size.optional(),
    temperature: z.number().positive(),
    popularityHalfLifeHours: z.number().positive().optional(),
    user: importedTower,
    item: importedTower,
  }),
  counts: z.object({ users: count, items: count }),
  files: generationManifest.shape.files.nullable().default(null),
})

export type ImportManifest = z.infer<typeof importManifest>

export type GenerationManifest = z.infer<typeof generationManifest>

/** JSON Schema of manifest.json, for those who make generations with other tools. */
export function generationManifestJsonSchema(): unknown {
  return z.toJSONSchema(generationManifest, { io: 'input' })
}
