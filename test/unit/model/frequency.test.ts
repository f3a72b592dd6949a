import { expect, test } from 'vitest'
import { StreamingFrequency } from '../../../src/model/frequency.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const items = 50

test('on a Zipf stream the estimates come near the true probabilities', () => {
  const truth = zipf()
  const estimate = new StreamingFrequency(0.01, 0)
  stream(estimate, truth, 200_000, 1)
  const errors = truth.map((p, slot) => Math.log(estimate.probability(slot) / p))
  // A moving average over a hundred gaps of a geometric distribution is off by a tenth; of fifty items one or two are silent for long.
  const meanSquare = errors.reduce((sum, error) => sum + error ** 2, 0) / items
  expect(Math.sqrt(meanSquare)).toBeLessThan(0.2)
  expect(Math.max(...errors.map(Math.abs))).toBeLessThan(1)
  const bias = errors.reduce((sum, error) => sum + error, 0) / items
  expect(Math.abs(bias)).toBeLessThan(0.06)
})

test('it follows when what was popular becomes rare, and the reverse', () => {
  const truth = zipf()
  const estimate = new StreamingFrequency(0.01, 0)
  stream(estimate, truth, 50_000, 1)
  const reversed = truth.toReversed()
  stream(estimate, reversed, 50_000, 2)
  expect(Math.abs(Math.log(estimate.probability(items - 1) / reversed[items - 1]!))).toBeLessThan(
    0.4,
  )
  expect(estimate.probability(0)).toBeLessThan(truth[0]! / 5)
})

test('what was never seen, or once, is rare but not impossible', () => {
  const estimate = new StreamingFrequency(0.01, 0)
  for (let i = 0; i < 999; i++) estimate.observe(1)
  expect(estimate.probability(7)).toBe(1 / 2_000)
  estimate.observe(2)
  expect(estimate.probability(2)).toBe(1 / 1_000)
  expect(estimate.probability(1)).toBe(1)
})

test('an item that has fallen silent counts by how long it has been silent', () => {
  const estimate = new StreamingFrequency(0.01, 0)
  for (let i = 0; i < 100; i++) estimate.observe(i % 2)
  expect(estimate.probability(0)).toBe(1 / 2)
  for (let i = 0; i < 400; i++) estimate.observe(1)
  expect(estimate.probability(0)).toBeCloseTo(3 / 401, 5)
})

function zipf(): number[] {
  const weights = Array.from({ length: items }, (_, i) => 1 / (i + 1))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return weights.map((weight) => weight / total)
}

function stream(estimate: StreamingFrequency, truth: number[], count: number, seed: number): void {
  const random = seededRandom(seed)
  for (let i = 0; i < count; i++) {
    let rest = random.next()
    let slot = 0
    while (slot < truth.length - 1 && (rest -= truth[slot]!) >= 0) slot++
    estimate.observe(slot)
  }
}
