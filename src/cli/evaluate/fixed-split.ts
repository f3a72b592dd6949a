import { FreshetError } from '../../errors.ts'
import type { TensorEngine } from '../../model/engine.ts'
import { Random } from '../../model/hash.ts'
import { noFeatures, type Example } from '../../records/types.ts'
import { openEngine } from '../../runtime/engines/index.ts'
import { fullOptions } from '../../runtime/full-update/plan.ts'
import { bootstrapGeneration, fullStateOf } from '../../runtime/generation/generation.ts'
import { brokenLine, readLines } from '../../runtime/replay/lines.ts'
import { FullUpdate, type FullResult } from '../../streams/full-update.ts'
import type { TrainingConfig } from './full-update-of.ts'

/** Items of each user, in the order of the file. */
export type Pairs = ReadonlyMap<string, readonly string[]>

/**
 * A line a user: its id and those of its items, separated by spaces, as LightGCN and the benchmarks after it publish their splits.
 * @throws FreshetError FILE_MISSING, FILE_INVALID naming file and line
 */
export async function readPairs(path: string): Promise<Pairs> {
  const pairs = new Map<string, readonly string[]>()
  for await (const lines of readLines(path)) {
    for (const { text, number } of lines) {
      const [user, ...items] = text.trim().split(/\s+/) as [string, ...string[]]
      if (pairs.has(user)) {
        throw brokenLine(path, number, `user ${user} again`, 'one line for each user')
      }
      pairs.set(user, items)
    }
  }
  if (pairs.size === 0) throw new FreshetError('FILE_INVALID', `${path} holds no pairs`)
  return pairs
}

export interface SplitScores {
  readonly epoch: number
  /** Mean loss an example of the epoch, before its update. */
  readonly loss: number
  readonly recallAt20: number
  readonly ndcgAt20: number
}

const k = 20
/** Examples handed over at a time. */
const sliceExamples = 8_192
/** Floats of scores at a time. */
const scoresMax = 1 << 24

/**
 * Trains on all pairs, `epochs` times over, each time in another random order, with the trainer of the full update: an epoch is a day that starts from the one
 * before. Then all items that a user does not have in `train` are ranked for each user of `test`: recall@20 is the share of the user's test items among the
 * first 20, NDCG@20 has binary gains and the ideal of min(20, test items); both are means over users with test items.
 * @param every so manieth epoch, and the last, is scored
 */
export async function* askFixedSplit(
  train: Pairs,
  test: Pairs,
  config: TrainingConfig,
  { epochs, every }: { readonly epochs: number; readonly every: number },
): AsyncGenerator<SplitScores> {
  const { seed, engine: name, ...model } = config.model
  const engine = openEngine(name)
  const examples = [...train].flatMap(([userId, items]) =>
    items.map((itemId) => exampleOf(userId, itemId)),
  )
  let state = fullStateOf(bootstrapGeneration('bootstrap', model, seed, 0))
  for (let epoch = 1; epoch <= epochs; epoch++) {
    const job = { day: `epoch ${epoch}`, seed, full: config.full, learner: config.learner }
    const options = fullOptions(job, examples.length)
    const update = await FullUpdate.open({ engine, parent: state, catalogue: [], options })
    shuffle(examples, new Random(seed, epoch))
    for (let from = 0; from < examples.length; from += sliceExamples) {
      await update.train(examples.slice(from, from + sliceExamples))
    }
    const result = await update.finish()
    await update.close()
    state = result.state
    if (epoch % every !== 0 && epoch < epochs) continue
    const scores = await score(result, train, test, engine)
    yield { epoch, loss: result.figures.loss, ...scores }
  }
}

function exampleOf(userId: string, itemId: string): Example {
  return {
    ...{ kind: 'example', requestId: '', userId, itemId, eventTimeMs: 1, impressionTimeMs: 1 },
    ...{ position: 0, weight: 1, scenario: '', hardNegatives: [], features: noFeatures },
  }
}

/** In place, by Fisher and Yates. */
function shuffle<T>(values: T[], random: Random): void {
  for (let i = values.length - 1; i > 0; i--) {
    const j = Math.floor(random.nextFloat() * (i + 1))
    const value = values[i]!
    values[i] = values[j]!
    values[j] = value
  }
}

async function score(
  { state, itemVectors }: FullResult,
  train: Pairs,
  test: Pairs,
  engine: TensorEngine,
): Promise<Pick<SplitScores, 'recallAt20' | 'ndcgAt20'>> {
  const { model, dense, users, items } = state
  const { dim } = model
  const userNumbers = new Map(users.ids.map((id, number) => [id, number]))
  const itemNumbers = new Map(items.ids.map((id, number) => [id, number]))
  const asked = [...test].filter(([, liked]) => liked.length > 0)
  const count = items.ids.length
  const tensors = await engine.open(model, dense)
  let [recall, ndcg] = [0, 0]
  const perCall = Math.max(1, Math.floor(scoresMax / count))
  for (let from = 0; from < asked.length; from += perCall) {
    const part = asked.slice(from, from + perCall)
    const rows = new Float32Array(part.length * dim)
    part.forEach(([user], i) => {
      const number = userNumbers.get(user)
      const row =
        number === undefined
          ? users.defaultRow
          : users.rows.subarray(number * dim, (number + 1) * dim)
      rows.set(row, i * dim)
    })
    const queries = await tensors.vectors('user', rows, new Float32Array(0), part.length)
    const scores = await tensors.scores(queries, part.length, itemVectors, count)
    part.forEach(([user, liked], i) => {
      const own = scores.subarray(i * count, (i + 1) * count)
      for (const known of train.get(user) ?? []) own[itemNumbers.get(known)!] = -Infinity
      const wanted = new Set(liked)
      const hits = highest(own, k).map((item) => wanted.has(items.ids[item]!))
      recall += hits.filter(Boolean).length / wanted.size
      ndcg += gainOf(hits) / gainOf(Array.from({ length: Math.min(k, wanted.size) }, () => true))
    })
  }
  await tensors.close()
  return { recallAt20: recall / asked.length, ndcgAt20: ndcg / asked.length }
}

function gainOf(hits: readonly boolean[]): number {
  return hits.reduce((sum, isHit, place) => sum + (isHit ? 1 / Math.log2(place + 2) : 0), 0)
}

/** Numbers of the highest scores, best first; of equal ones the lower number. */
function highest(scores: Float32Array, count: number): number[] {
  const best: number[] = []
  let least = -Infinity
  for (let i = 0; i < scores.length; i++) {
    if (scores[i]! <= least && best.length === count) continue
    if (scores[i] === -Infinity) continue
    let place = best.length
    while (place > 0 && scores[best[place - 1]!]! < scores[i]!) place--
    best.splice(place, 0, i)
    if (best.length > count) best.pop()
    if (best.length === count) least = scores[best[count - 1]!]!
  }
  return best
}
