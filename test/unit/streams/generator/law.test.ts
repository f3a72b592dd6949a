import { expect, test } from 'vitest'
import { Random } from '../../../../src/model/hash.ts'
import { Popularity, popularity24h } from '../../../../src/model/evaluation.ts'
import { createGenerator } from '../../../../src/streams/generator/generator.ts'
import { OptimalRecall } from '../../../../src/streams/generator/optimum.ts'
import {
  chiSquareLimit,
  clicks,
  hourMs,
  impressions,
  run,
  smallWorld,
  startMs,
  uniformity,
} from './support.ts'

test('the probabilities of one user at one time sum to 1, in the order of the optimal ranking', () => {
  const { world } = smallWorld()
  for (const userId of ['1', '77', '200']) {
    const ranking = world.optimalRanking(userId, startMs, 10_000)
    expect(ranking).toHaveLength(world.slotAt(startMs).items.length)
    const chances = ranking.map((item) => world.clickProbability(userId, item, startMs))
    expect(chances.reduce((a, b) => a + b)).toBeCloseTo(1, 10)
    expect(chances).toEqual([...chances].sort((a, b) => b - a))
    ranking.forEach((item, rank) => expect(world.optimalRank(userId, item, startMs)).toBe(rank))
    const best = chances.slice(0, 50).reduce((a, b) => a + b)
    expect(world.optimalRecall(userId, startMs, 50)).toBeCloseTo(best, 12)
  }
})

test('who or what does not exist has probability 0', () => {
  const { world } = smallWorld()
  const [item] = world.optimalRanking('1', startMs, 1)
  expect(world.clickProbability('1', item!, startMs)).toBeGreaterThan(0)
  expect(world.clickProbability('201', item!, startMs)).toBe(0)
  expect(world.clickProbability('nobody', item!, startMs)).toBe(0)
  expect(world.clickProbability('1', 'i1', startMs)).toBe(0)
  expect(world.clickProbability('1', item!, startMs + 1_000 * hourMs)).toBe(0)
  expect(world.optimalRank('1', 'nothing', startMs)).toBeNull()
})

test('draws of one user at one time follow the law (chi-square over items)', () => {
  const { world } = smallWorld()
  const random = new Random(1, 2)
  const slot = world.slotAt(startMs)
  const counts = new Map<string, number>()
  const draws = 200_000
  const taste = world.tasteAt(4, startMs)
  for (let i = 0; i < draws; i++) {
    const chance = random.nextFloat()
    const { item } = world.drawClick(slot, taste, chance, random.nextFloat())
    counts.set(`i${item}`, (counts.get(`i${item}`) ?? 0) + 1)
  }
  let statistic = 0
  let bins = 0
  let rest = draws
  let restSeen = draws
  for (const item of world.optimalRanking('5', startMs, 10_000)) {
    const expected = draws * world.clickProbability('5', item, startMs)
    if (expected < 10) continue
    const seen = counts.get(item) ?? 0
    statistic += (seen - expected) ** 2 / expected
    rest -= expected
    restSeen -= seen
    bins++
  }
  if (rest > 10) statistic += (restSeen - rest) ** 2 / rest
  expect(bins).toBeGreaterThan(50)
  expect(statistic).toBeLessThan(chiSquareLimit(bins))
})

// Goal: every click of a whole run, of all users at all times, follows clickProbability. Method: the probability integral
// transform. Under the law, the probability of all better-ranked items plus a uniform share of the item's own is uniform.
test.each([
  ['ordinary visits', {}],
  [
    'visits of many clicks on few items',
    { items: 20, categories: 1, clustersPerCategory: 2, nextClickShare: 0.9, clicksPerVisitMax: 6 },
  ],
])('clicks of a run follow the law of their user at their time: %s', (_, options) => {
  const { world, ...generator } = smallWorld({ eventsPerSecond: 5, ...options })
  const events = run({ world, ...generator }, 3 * hourMs)
  const pages = new Map(impressions(events).map((page) => [page.requestId, page]))
  const random = new Random(3, 4)
  const counts = Array.from({ length: 50 }, () => 0)
  for (const click of clicks(events)) {
    const shownMs = pages.get(click.requestId)!.eventTimeMs
    const rank = world.optimalRank(click.userId, click.itemId, shownMs)!
    const above = world.optimalRecall(click.userId, shownMs, rank)
    const own = world.clickProbability(click.userId, click.itemId, shownMs)
    counts[Math.min(49, Math.floor(50 * (above + random.nextFloat() * own)))]!++
  }
  expect(clicks(events).length).toBeGreaterThan(20_000)
  const { statistic, limit } = uniformity(counts)
  expect(statistic).toBeLessThan(limit)
})

test('taste drifts: what is best for a user changes within the drift time, and hardly within a minute', () => {
  const { world } = smallWorld({
    lifetimeMs: 1_000 * hourMs,
    decayMs: 1_000 * hourMs,
    birthBoost: 0,
  })
  const kept = (afterMs: number) => {
    let shared = 0
    for (let user = 1; user <= 200; user++) {
      const before = new Set(world.optimalRanking(String(user), startMs, 20))
      const after = world.optimalRanking(String(user), startMs + afterMs, 20)
      shared += after.filter((item) => before.has(item)).length / 20
    }
    return shared / 200
  }
  expect(kept(60_000)).toBeGreaterThan(0.95)
  expect(kept(8 * hourMs)).toBeLessThan(0.75)
  expect(kept(8 * hourMs)).toBeGreaterThan(0.25)
})

test('popularity is skewed, boosted at birth and decays with age', () => {
  const { world } = smallWorld({ items: 2_000 })
  const { items, popularity } = world.slotAt(startMs)
  const weights = Array.from(popularity, (sum, i) => sum - (popularity[i - 1] ?? 0))
  const sorted = [...weights].sort((a, b) => b - a)
  const total = popularity.at(-1)!
  const head = sorted.slice(0, sorted.length / 10).reduce((a, b) => a + b)
  expect(head / total).toBeGreaterThan(0.35)
  const mean = (fromMs: number, toMs: number) => {
    const ages = items.map((item) => startMs - item.birthMs)
    const own = weights.filter((_, i) => ages[i]! >= fromMs && ages[i]! < toMs)
    return own.reduce((a, b) => a + b) / own.length
  }
  expect(mean(0, hourMs)).toBeGreaterThan(1.5 * mean(2 * hourMs, 6 * hourMs))
  expect(mean(2 * hourMs, 6 * hourMs)).toBeGreaterThan(1.5 * mean(10 * hourMs, 24 * hourMs))
})

test('the optimum is within reach of nobody who only counts: it leaves 24 h popularity far behind', () => {
  const { world, events } = createGenerator({ eventsPerSecond: 30, slotMs: 60_000 })
  const optimum = new OptimalRecall(world)
  const popularity = new Popularity(popularity24h)
  const shownMs = new Map<string, number>()
  let hits = 0
  for (const event of events({ fromMs: startMs, untilMs: startMs + hourMs })) {
    if (event.kind === 'impression') shownMs.set(event.requestId, event.eventTimeMs)
    if (event.kind !== 'click') continue
    if (event.eventTimeMs > startMs + hourMs / 2) {
      optimum.add(event.userId, event.itemId, shownMs.get(event.requestId)!)
      if ((popularity.rank(event.itemId, event.eventTimeMs, []) ?? Infinity) <= 50) hits++
    }
    popularity.observe(event.itemId, event.eventTimeMs)
  }
  const recallAt50 = optimum.recallAt(50)!
  console.log(
    `recall@50: optimum ${recallAt50.toFixed(3)}, 24 h popularity ${(hits / optimum.cases).toFixed(3)}`,
  )
  expect(recallAt50).toBeGreaterThan(0.7)
  expect(recallAt50).toBeGreaterThan(2 * (hits / optimum.cases))
  expect(optimum.recallAt(100)!).toBeGreaterThan(recallAt50)
  expect(optimum.recallAt(7)).toBeUndefined()
})
