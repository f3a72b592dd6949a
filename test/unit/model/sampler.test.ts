import { expect, test } from 'vitest'
import { Random } from '../../../src/model/hash.ts'
import { NegativeSampler } from '../../../src/model/sampler.ts'

const hourMs = 3_600_000
const options = { halfLifeMs: 24 * hourMs, popularityShare: 0.75 }

function sampled(sampler: NegativeSampler, draws: number, seed = 1): Map<number, number> {
  const slots = new Int32Array(draws)
  const multiplicities = new Int32Array(draws)
  const distinct = sampler.draw(new Random(1, seed), draws, slots, multiplicities)
  return new Map(Array.from({ length: distinct }, (_, i) => [slots[i]!, multiplicities[i]!]))
}

test('draws follow the probabilities that it states, and these sum to 1', () => {
  const sampler = new NegativeSampler(options)
  for (let slot = 1; slot <= 40; slot++) {
    sampler.add(slot)
    for (let click = 0; click < slot % 7; click++) sampler.observe(slot, click * hourMs)
  }
  const draws = 400_000
  const counts = sampled(sampler, draws)
  let total = 0
  for (let slot = 1; slot <= 40; slot++) {
    const expected = draws * sampler.probability(slot)
    total += sampler.probability(slot)
    expect(Math.abs((counts.get(slot) ?? 0) - expected)).toBeLessThan(5 * Math.sqrt(expected))
  }
  expect(total).toBeCloseTo(1, 10)
})

test('a click counts half after one half-life, also across the change of scale', () => {
  const sampler = new NegativeSampler({ halfLifeMs: hourMs, popularityShare: 1 })
  sampler.add(1)
  sampler.add(2)
  for (let hour = 0; hour < 400; hour++) {
    sampler.observe(1, hour * hourMs)
    sampler.observe(2, (hour + 1) * hourMs)
    const ratio = sampler.probability(2) / sampler.probability(1)
    expect(ratio).toBeCloseTo(2, 6)
  }
})

test('an item that was removed is not drawn, and comes back without its clicks', () => {
  const sampler = new NegativeSampler(options)
  for (const slot of [1, 2, 3]) sampler.add(slot)
  for (let click = 0; click < 50; click++) sampler.observe(2, 0)
  sampler.observe(3, 0)
  sampler.remove(2)
  expect([...sampled(sampler, 1_000).keys()].sort()).toEqual([1, 3])
  sampler.add(2)
  expect(sampler.probability(2)).toBeCloseTo(0.25 / 3, 10)
})

test('without clicks, and with clicks on unknown items only, it draws uniformly', () => {
  const sampler = new NegativeSampler(options)
  sampler.add(4)
  sampler.add(5)
  sampler.observe(99, 0)
  expect(sampler.probability(4)).toBe(0.5)
  expect([...sampled(sampler, 100).values()].reduce((sum, count) => sum + count)).toBe(100)
})

test('a restored sampler draws the same', () => {
  const sampler = new NegativeSampler(options)
  for (let slot = 1; slot < 50; slot++) {
    sampler.add(slot)
    sampler.observe(slot, slot * 1e9 * Math.SQRT2)
  }
  sampler.remove(7)
  const restored = new NegativeSampler(options)
  restored.restore(structuredClone(sampler.snapshot()))
  for (const each of [sampler, restored]) {
    each.add(60)
    each.observe(60, 51e9)
  }
  expect(sampled(restored, 500)).toEqual(sampled(sampler, 500))
  expect(restored.snapshot()).toEqual(sampler.snapshot())
})
