import { expect, test } from 'vitest'
import { Random } from '../../../../src/model/hash.ts'
import { clicks, hourMs, run, smallWorld, startMs } from './support.ts'

// Goal: show that ordered training is biased by who happens to be online. Method: the taste for clusters never drifts and items live
// for ever, so the only thing that changes over a day is the mix of regions.
const dayMs = 24 * hourMs
const midnightMs = startMs - (startMs % dayMs)
const { world, ...rest } = smallWorld({
  stableShare: 1,
  lifetimeMs: 10_000 * hourMs,
  decayMs: 10_000 * hourMs,
  birthBoost: 0,
  slotMs: hourMs,
  eventsPerSecond: 1.5,
})
const clusters = new Map(
  world.slotAt(midnightMs).items.map((item) => [`i${item.number}`, item.cluster]),
)

/** Clusters of the clicks of one day, in order, with their hour. */
function day(number: number): { cluster: number; hour: number }[] {
  return clicks(run({ world, ...rest }, dayMs, midnightMs + number * dayMs)).flatMap((click) => {
    const cluster = clusters.get(click.itemId)
    const hour = Math.floor((click.eventTimeMs % dayMs) / hourMs)
    return cluster === undefined ? [] : [{ cluster, hour }]
  })
}

test('one hour is further from its day than a sample of the day that is as large', () => {
  const all = day(0)
  const random = new Random(5, 6)
  const shares = distribution(all)
  for (const hour of [0, 6, 12, 18]) {
    const own = all.filter((click) => click.hour === hour)
    const sample = own.map(() => all[Math.floor(random.nextFloat() * all.length)]!)
    expect(distance(distribution(own), shares)).toBeGreaterThan(
      1.5 * distance(distribution(sample), shares),
    )
  }
})

test('a model trained on a day in order predicts the next day worse than one trained on it shuffled', () => {
  const today = day(1)
  const tomorrow = day(2)
  const shuffled = shuffle(today, new Random(7, 8))
  const ordered = logLoss(train(today), tomorrow)
  const mixed = logLoss(train(shuffled), tomorrow)
  expect(ordered - mixed).toBeGreaterThan(0.02)
})

/** Logits of a softmax over clusters, by plain SGD at a constant rate. */
function train(examples: readonly { cluster: number }[]): Float64Array {
  const logits = new Float64Array(60)
  for (const { cluster } of examples) {
    const chances = softmax(logits)
    for (let i = 0; i < logits.length; i++) {
      logits[i]! -= 0.02 * (chances[i]! - (i === cluster ? 1 : 0))
    }
  }
  return logits
}

function logLoss(logits: Float64Array, examples: readonly { cluster: number }[]): number {
  const chances = softmax(logits)
  return (
    examples.reduce((sum, { cluster }) => sum - Math.log(chances[cluster]!), 0) / examples.length
  )
}

function softmax(logits: Float64Array): Float64Array {
  const powers = logits.map((logit) => Math.exp(logit))
  const sum = powers.reduce((a, b) => a + b)
  return powers.map((power) => power / sum)
}

function distribution(examples: readonly { cluster: number }[]): Float64Array {
  const counts = new Float64Array(60)
  for (const { cluster } of examples) counts[cluster]! += 1 / examples.length
  return counts
}

/** Total variation. */
function distance(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, share, i) => sum + Math.abs(share - b[i]!), 0) / 2
}

function shuffle<T>(values: readonly T[], random: Random): T[] {
  const shuffled = [...values]
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(random.nextFloat() * (i + 1))
    ;[shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!]
  }
  return shuffled
}
