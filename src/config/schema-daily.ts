import { z } from 'zod'
import { loss, milliseconds, name, positive } from './schema-parts.ts'

/** The settings of the daily loop: archive, full update, index, generations. */

export const archive = z.strictObject({
  rollBytes: positive
    .default(16 * 2 ** 20)
    .describe('an archive file is closed at this size, by partition'),
  rollMs: positive.default(300_000).describe('and at the latest after so long'),
})

export const compactor = z.strictObject({
  idleMs: positive
    .default(30_000)
    .describe(
      'a partition without records for so long ends its day where it is, once all others have passed the end',
    ),
})

export const full = z.strictObject({
  batch: z
    .union([z.literal('auto'), positive.min(2).max(4_096)])
    .default('auto')
    .describe('examples a step; auto: so that a day has 200 steps or more, within 8 and 1024'),
  loss: loss.describe('as learner.loss; the others are the other items of the batch'),
  logQ: z.boolean().default(true).describe('as learner.logQ'),
  candidates: positive
    .default(1_024)
    .describe(
      'items that each example of a step is told from: those of the batch, and sampled ones up to so many',
    ),
  learningRate: z.number().positive().default(0.001).describe('Adam, of the dense parameters'),
  rowLearningRate: z.number().positive().default(0.05).describe('row-wise Adagrad, of the ID rows'),
  userDropout: z
    .number()
    .min(0)
    .max(1)
    .default(0.05)
    .describe('share of examples whose user is replaced by row 0, so that row 0 learns new users'),
  itemDropout: z.number().min(0).max(1).default(0.02),
  frequencyRate: z
    .number()
    .positive()
    .max(1)
    .default(0.01)
    .describe('of the moving average behind the logQ correction'),
  shuffleBytesMax: positive
    .default(256 * 2 ** 20)
    .describe('memory of the shuffle; a larger day goes through files'),
  checkpointMs: positive.default(60_000).describe('after a crash a full update goes on from here'),
  gateMinExamples: positive
    .default(2_000)
    .describe('with fewer examples to compare on, a generation goes on as `ungated`'),
  gateShare: z
    .number()
    .positive()
    .max(1)
    .default(0.2)
    .describe('last share of the day that the new and the previous generation are compared on'),
  gateMaxExamples: positive
    .default(100_000)
    .describe('of a share that is larger, only every so manieth step is compared'),
  maxRegression: z
    .number()
    .nonnegative()
    .default(0.01)
    .describe('a generation that is worse by more than this, with 95 % confidence, is rejected'),
})

export const index = z.strictObject({
  engine: z
    .enum(['auto', 'hnswlib', 'exact'])
    .default('auto')
    .describe('auto: exact up to exactItemsMax, hnswlib above'),
  exactItemsMax: positive.default(20_000),
  m: positive.max(128).default(16).describe('HNSW: links a node'),
  efConstruction: positive.default(200),
  efSearch: positive.default(256),
  recallMin: z
    .number()
    .min(0)
    .max(1)
    .default(0.95)
    .describe('recall@100 against exact search that an index must reach to be announced'),
  recallSample: positive.default(200).describe('queries it is measured with'),
  overridesMax: positive
    .default(20_000)
    .describe('beyond, the overrides are folded into the next revision of the index'),
  chunkBytes: positive.max(1_048_576).default(1_000_000),
  inlineBytesMax: positive
    .default(2 ** 30)
    .describe('a larger snapshot is taken from the artifact store instead of the topic'),
})

export const generations = z.strictObject({
  first: name
    .nullable()
    .default(null)
    .describe(
      'what a deployment without any history begins with: a generation in artifacts.dir, as `freshet bootstrap --days` makes one; null: random parameters',
    ),
  keep: positive.default(3).describe('live, previous and older ones that stay in the store'),
  caughtUpMs: milliseconds
    .default(5_000)
    .describe('a candidate goes live once it is at most so far behind the live generation'),
  readyPods: positive.default(1).describe('recall pods that must have verified it'),
  switchTimeoutMs: positive
    .default(600_000)
    .describe('after so long it is said who keeps a candidate from going live'),
  rollbackWindowMs: milliseconds
    .default(3_600_000)
    .describe('the generation before stays trained for so long'),
  catchUp: z
    .boolean()
    .default(true)
    .describe('off: a candidate goes live without the events of today, to see what that costs'),
})
