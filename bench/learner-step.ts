/**
 * Examples/s of the learner's tensor step alone and of all that the learner does with an example, on one core, with onnxruntime and
 * with the plain TypeScript oracle, and with TensorFlow where it is set up. Users and items are drawn from skewed distributions over 100,000 users and 20,000 items. Rounds
 * of both engines alternate in one process; seconds are CPU seconds of the process, so that a busy machine disturbs less.
 */
import fs from 'node:fs'
import { tensorflowHome } from '../scripts/tensorflow.js'
import { EmbeddingTable } from '../src/model/embedding-table.ts'
import type { TensorModel } from '../src/model/engine.ts'
import { Random } from '../src/model/hash.ts'
import { listwise } from '../src/model/loss.ts'
import { initialise } from '../src/model/initialise.ts'
import type { ModelSpec } from '../src/model/spec.ts'
import type { Example } from '../src/records/types.ts'
import { openEngine } from '../src/runtime/engines/index.ts'
import { LearnerBatch } from '../src/streams/learner-batch.ts'
import type { LearnerSetup } from '../src/streams/learner-types.ts'
import { createLearner } from '../src/streams/learner.ts'

const users = 100_000
const items = 20_000
const rounds = 3
const exampleCount = { onnx: 51_200, tfjs: 25_600, typescript: 2_048 } as const
const hasTensorflow = fs.existsSync(tensorflowHome)
const engines = (['onnx', 'tfjs', 'typescript'] as const).filter(
  (name) => name !== 'tfjs' || hasTensorflow,
)
const batchMax = 256

const model: ModelSpec = {
  ...{ dim: 64, outputDim: 64 },
  temperature: 0.2,
  user: {
    features: [{ kind: 'categorical', name: 'country', buckets: 256, dim: 16 }],
    hidden: [64],
  },
  item: {
    features: [
      { kind: 'categorical', name: 'genre', buckets: 256, dim: 16 },
      { kind: 'numeric', name: 'year', transform: 'none', mean: 0, deviation: 1 },
    ],
    hidden: [64],
  },
}
const { dense, userDefaultRow, itemDefaultRow } = initialise(model, 17)
const log = makeLog(exampleCount.onnx)
const figures: Record<string, number[]> = {}

for (let round = 0; round <= rounds; round++) {
  for (const name of engines) {
    const engine = await openEngine(name).open(model, dense)
    const examples = log.slice(0, exampleCount[name])
    const step = await stepsPerSecond(engine, examples)
    const whole = await learnerPerSecond(engine, examples)
    await engine.close()
    if (round === 0) continue // warm-up
    ;(figures[`${name}StepExamplesPerSecond`] ??= []).push(step)
    ;(figures[`${name}LearnerExamplesPerSecond`] ??= []).push(whole)
  }
}
const result: Record<string, number> = { lookupsPerSecond: lookupsPerSecond() }
for (const [name, values] of Object.entries(figures)) result[name] = median(values)
result['stepTimesFaster'] = ratio('StepExamplesPerSecond')
if (hasTensorflow) {
  for (const what of ['Step', 'Learner']) {
    const rateOf = (name: string) => result[`${name}${what}ExamplesPerSecond`]!
    result[`tfjs${what}ShareOfOnnx`] = rateOf('tfjs') / rateOf('onnx')
  }
}
result['learnerTimesFaster'] = ratio('LearnerExamplesPerSecond')
console.log(JSON.stringify(result))

/** The step of one engine on gathered batches: 256 examples, 512 draws of negatives. */
async function stepsPerSecond(engine: TensorModel, examples: readonly Example[]): Promise<number> {
  const learner = await newLearner(engine)
  const batch = new LearnerBatch(model, batchMax, 512)
  const part = examples.slice(0, batchMax)
  batch.batch = batchMax
  batch.gatherPositives(part, learner.items)
  batch.gatherNegatives(part, learner.items, {
    loss: listwise,
    logQ: true,
    negatives: 512,
    hardNegativeShare: 0,
  })
  for (let b = 0; b < batchMax; b++) batch.userRows.set(userDefaultRow, b * model.dim)
  const steps = examples.length / batchMax
  return perSecond(examples.length, async () => {
    for (let step = 0; step < steps; step++) await engine.step(batch)
  })
}

/** Everything but Kafka, Redis and files: decoded examples in, rows and overrides out each 2,000 examples, without evaluation. */
async function learnerPerSecond(
  engine: TensorModel,
  examples: readonly Example[],
): Promise<number> {
  const learner = await newLearner(engine)
  return perSecond(examples.length, async () => {
    let sinceSync = 0
    for (let from = 0; from < examples.length; from += batchMax) {
      const part = examples.slice(from, from + batchMax)
      const cut = { topic: 'examples', partition: 0, from, to: from + part.length }
      const records = part.map((record, i) => ({ offset: from + i, record }))
      await learner.applyExamples(cut, records, 0)
      sinceSync += part.length
      if (sinceSync < 2_000) continue
      await learner.sync()
      sinceSync = 0
    }
  })
}

async function newLearner(engine: TensorModel) {
  const options: LearnerSetup['options'] = {
    ...{ onlineRows: 'user+item', optimizer: 'sgd', learningRate: 0.05, batchMax, negatives: 512 },
    ...{ batchSpanMs: 3_600_000, popularityShare: 0.75, popularityHalfLifeMs: 86_400_000 },
    ...{ skewEpsilon: 0.001, gradientNormMax: 5, rowNormMax: 10, expireAfterMs: 90 * 86_400_000 },
    ...{ userRowsMax: 1_000_000, itemRowsMax: 1_000_000, admitAfterUsers: 1, admitAfterItems: 2 },
    ...{ examplesPerUserPerMinuteMax: 1_000, evaluationSample: 1 },
    ...{ loss: listwise, logQ: true, hardNegativeShare: 0 },
  }
  const none = new Float32Array(0)
  const learner = createLearner(
    { model, dense, engine, options },
    {
      ...{ userDefaultRow, itemDefaultRow, eventTimeMs: 0 },
      users: { ids: [], rows: none },
      items: { ids: [], rows: none, vectors: none },
    },
  )
  const catalogue = Array.from({ length: items }, (_, i) => {
    const itemId = `item-${i}`
    const categorical = new Map([['genre', [`genre${i % 19}`]]])
    const features = { categorical, numeric: new Map([['year', i / items]]), dense: new Map() }
    return { itemId, item: { itemId, title: itemId, createdAtMs: 0, features } }
  })
  await learner.applyCatalogue({ topic: 'items', partition: 0, from: 0, to: items }, catalogue)
  return learner
}

function makeLog(count: number): Example[] {
  const random = new Random(1, 1)
  const skewed = (limit: number) => Math.floor(limit * random.nextFloat() ** 3)
  return Array.from({ length: count }, (_, i) => ({
    ...{ kind: 'example', requestId: `request-${i}`, userId: `user-${skewed(users)}` },
    ...{ itemId: `item-${skewed(items)}`, eventTimeMs: i * 50, impressionTimeMs: i * 50 },
    ...{ position: 0, weight: 1, scenario: 'home', hardNegatives: [] },
    features: {
      categorical: new Map([['country', [`country${i % 50}`]]]),
      numeric: new Map(),
      dense: new Map(),
    },
  }))
}

function lookupsPerSecond(): number {
  const table = new EmbeddingTable({ defaultRow: userDefaultRow, rowsMax: users })
  const ids = Array.from({ length: users }, (_, i) => `user-${i}`)
  for (const id of ids) table.insert(id, 0)
  const started = process.cpuUsage()
  let found = 0
  for (let pass = 0; pass < 20; pass++) for (const id of ids) if (table.find(id) > 0) found++
  return Math.round((found / cpuMicroseconds(started)) * 1e6)
}

async function perSecond(count: number, work: () => Promise<void>): Promise<number> {
  const started = process.cpuUsage()
  await work()
  return Math.round((count / cpuMicroseconds(started)) * 1e6)
}

function cpuMicroseconds(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since)
  return user + system
}

function ratio(what: string): number {
  return Math.round(median(figures[`onnx${what}`]!) / median(figures[`typescript${what}`]!))
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!
}
