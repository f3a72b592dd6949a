import { z } from 'zod'
import { computedNames } from '../model/computed-features.ts'
import { isEmbedded } from '../model/embedded.ts'
import { layerWidths } from '../model/spec.ts'
import { name, positive } from './schema-parts.ts'

const feature = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('categorical'),
    name,
    buckets: positive.default(1024),
    dim: positive.max(1024).default(16),
  }),
  z.strictObject({
    kind: z.literal('vocabulary'),
    name,
    values: z
      .array(name)
      .min(1)
      .refine(
        (values) => new Set(values).size === values.length,
        'each value may stand there once',
      ),
    dim: positive.max(1024).default(16),
  }),
  z.strictObject({
    kind: z.literal('bucketised'),
    name,
    boundaries: z
      .array(z.number())
      .min(1)
      .refine(
        (all) => all.every((value, i) => i === 0 || value > all[i - 1]!),
        'each boundary must be above the one before',
      ),
    dim: positive.max(1024).default(16),
  }),
  z.strictObject({
    kind: z.literal('numeric'),
    name,
    transform: z.enum(['none', 'log1p']).default('none'),
    mean: z
      .number()
      .nullable()
      .default(null)
      .describe('null: running statistics, kept with the generation'),
    deviation: z.number().positive().nullable().default(null).describe('standard deviation'),
  }),
  z.strictObject({ kind: z.literal('dense'), name, dim: positive.max(4096) }),
])

const reserved = 'freshet.'
const computed: readonly string[] = Object.values(computedNames)
const width = positive.max(4096)
const oneOrMore = 'must hold one width or more, such as [128, 64]'

const tower = z.strictObject({
  features: z
    .array(
      feature
        .refine(
          (each) => each.kind !== 'numeric' || (each.mean === null) === (each.deviation === null),
          'mean and deviation go together: give both, or neither to have them from the data',
        )
        .refine(
          ({ kind, name }) =>
            !name.startsWith(reserved) || (kind === 'numeric' && computed.includes(name)),
          `names that begin with ${reserved} are those of computed features, which are numeric: ${computed.join(', ')}`,
        ),
    )
    .refine(
      (features) => isDistinct(features.filter(isEmbedded)),
      'two features of one name would share an embedding table',
    )
    .refine(
      (features) =>
        isDistinct(features.filter((each) => each.kind === 'numeric' && each.mean === null)),
      'two numeric features of one name would share their statistics: give one of them a mean and a deviation',
    )
    .default([]),
  hidden: z
    .union([width, z.array(width).min(1, oneOrMore).max(8)], {
      error:
        'must be the width of one hidden layer, or a list of at most 8 widths such as [128, 64]',
    })
    .default(64)
    .transform(layerWidths)
    .describe('widths of the hidden layers; one number is one layer'),
})

function isDistinct(features: readonly { readonly name: string }[]): boolean {
  return new Set(features.map((each) => each.name)).size === features.length
}

/** What a generation is made of. */
export const model = z
  .strictObject({
    dim: positive.max(1024).default(64).describe('dimension of ID rows'),
    outputDim: positive
      .max(1024)
      .nullable()
      .default(null)
      .describe('dimension of user and item vectors; null: as `model.dim`'),
    temperature: z.number().positive().default(0.15),
    popularityHalfLifeHours: z
      .number()
      .positive()
      .default(24)
      .describe('of the computed item feature freshet.recent_clicks'),
    user: tower
      .refine(
        ({ features }) => features.every((each) => !each.name.startsWith(reserved)),
        `${computed.join(' and ')} are features of items`,
      )
      .prefault({}),
    item: tower.prefault({}),
    seed: z.number().int().nonnegative().default(17),
    engine: z
      .enum(['onnx', 'tfjs', 'typescript'])
      .default('onnx')
      .describe(
        'onnx: onnxruntime; tfjs: TensorFlow trains (`npm run setup:tensorflow`) and onnxruntime serves; typescript: the slow oracle',
      ),
  })
  .transform((model) => ({ ...model, outputDim: model.outputDim ?? model.dim }))
