import { z } from 'zod'
import { isEmbedded } from '../model/embedded.ts'
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
    mean: z.number().default(0),
    deviation: z.number().positive().default(1),
  }),
  z.strictObject({ kind: z.literal('dense'), name, dim: positive.max(4096) }),
])

const tower = z.strictObject({
  features: z
    .array(feature)
    .refine((features) => {
      const tables = features.filter(isEmbedded).map((each) => each.name)
      return new Set(tables).size === tables.length
    }, 'two features of one name would share an embedding table')
    .default([]),
  hidden: positive.max(4096).default(64),
})

/** What a generation is made of. */
export const model = z.strictObject({
  dim: positive.max(1024).default(64).describe('dimension of ID rows and of both output vectors'),
  temperature: z.number().positive().default(0.15),
  user: tower.prefault({}),
  item: tower.prefault({}),
  seed: z.number().int().nonnegative().default(17),
  engine: z
    .enum(['onnx', 'typescript'])
    .default('onnx')
    .describe('onnx: onnxruntime; typescript: the slow oracle'),
})
