import { expect, test } from 'vitest'
import type { Click, Impression } from '../../../../src/records/types.ts'
import { createGenerator } from '../../../../src/streams/generator/generator.ts'
import type { SourceEvent } from '../../../../src/streams/source-event.ts'
import {
  clicks,
  hourMs,
  impressions,
  itemChanges,
  run,
  smallWorld,
  startMs,
  uniformity,
} from './support.ts'

test('the same seed gives the same bytes, another seed others', () => {
  const bytes = (seed: number) =>
    JSON.stringify(run(smallWorld({ seed }), 10 * 60_000), (_, value: unknown) =>
      value instanceof Map ? [...value] : value,
    )
  const first = bytes(1)
  expect(first.length).toBeGreaterThan(1_000_000)
  expect(bytes(1)).toBe(first)
  expect(bytes(2)).not.toBe(first)
})

test('events come in event-time order at the asked rate', () => {
  const events = run(smallWorld({ eventsPerSecond: 100 }), hourMs)
  const times = events.map((event) => event.eventTimeMs)
  expect(times.every((timeMs, i) => i === 0 || timeMs >= times[i - 1]!)).toBe(true)
  const rate = (impressions(events).length + clicks(events).length) / 3_600
  expect(rate).toBeGreaterThan(97)
  expect(rate).toBeLessThan(103)
})

test('every page shows its clicked items, each item once, and eliminates others', () => {
  const events = run(smallWorld({ eventsPerSecond: 30 }), hourMs)
  const pages = new Map(impressions(events).map((page) => [page.requestId, page]))
  expect(pages.size).toBe(impressions(events).length)
  const isWellFormed = (page: Impression) =>
    page.items.length === 10 &&
    page.eliminated.length === 8 &&
    new Set([...page.items, ...page.eliminated]).size === 18
  expect([...pages.values()].filter((page) => !isWellFormed(page))).toEqual([])

  const clicked = clicks(events)
  const pairs = new Set(clicked.map((click) => `${click.requestId} ${click.itemId}`))
  expect(pairs.size).toBe(clicked.length)
  const isOnItsPage = (click: Click) => {
    const page = pages.get(click.requestId)!
    const delayMs = click.eventTimeMs - page.eventTimeMs
    return (
      page.items.includes(click.itemId) &&
      page.userId === click.userId &&
      delayMs > 0 &&
      delayMs <= 600_000
    )
  }
  expect(clicked.filter((click) => !isOnItsPage(click))).toEqual([])
  const clickless = 1 - new Set(clicked.map((click) => click.requestId)).size / pages.size
  expect(clickless).toBeGreaterThan(0.3)
  expect(clickless).toBeLessThan(0.4)
})

test('a world of fewer items than a page shows each of them once', () => {
  const pages = impressions(run(smallWorld({ items: 8, pageSize: 40, eventsPerSecond: 1 }), hourMs))
  expect(pages.length).toBeGreaterThan(1_000)
  expect(pages.every((page) => new Set(page.items).size === page.items.length)).toBe(true)
})

test('the place on the page does not tell what was clicked', () => {
  const events = run(smallWorld({ eventsPerSecond: 20 }), 2 * hourMs)
  const pages = new Map(impressions(events).map((page) => [page.requestId, page]))
  const counts = Array.from({ length: 10 }, () => 0)
  for (const click of clicks(events)) {
    counts[pages.get(click.requestId)!.items.indexOf(click.itemId)]!++
  }
  const { statistic, limit } = uniformity(counts)
  expect(statistic).toBeLessThan(limit)
})

test('eliminated items are less likely to be clicked than shown ones', () => {
  const generator = smallWorld()
  const events = run(generator, 600_000)
  const pages = impressions(events)
  const mean = (user: string, items: readonly string[], timeMs: number) =>
    items.reduce((sum, item) => sum + generator.world.clickProbability(user, item, timeMs), 0) /
    items.length
  const average = (values: readonly number[]) => values.reduce((a, b) => a + b) / values.length
  const shown = average(pages.map((page) => mean(page.userId, page.items, page.eventTimeMs)))
  const eliminated = average(
    pages.map((page) => mean(page.userId, page.eliminated, page.eventTimeMs)),
  )
  expect(eliminated).toBeLessThan(shown / 2)
})

test('the catalogue comes first; items are born and die, and are shown only while they live', () => {
  const generator = smallWorld({ lifetimeMs: 2 * hourMs })
  const events = run(generator, 6 * hourMs)
  const opening = events.findIndex((event) => event.kind === 'impression')
  expect(opening).toBeGreaterThan(200)
  expect(opening).toBeLessThan(400)
  const live = new Set<string>()
  const wrong: SourceEvent[] = []
  let born = 0
  let died = 0
  for (const [index, event] of events.entries()) {
    if (event.kind === 'item' && event.item !== null) {
      if (live.has(event.itemId) || event.item.title === '') wrong.push(event)
      if (event.item.features.categorical.get('category')?.length !== 1) wrong.push(event)
      live.add(event.itemId)
      if (index >= opening) born++
    } else if (event.kind === 'item') {
      if (!live.delete(event.itemId)) wrong.push(event)
      died++
    } else if (event.kind === 'impression') {
      if (![...event.items, ...event.eliminated].every((item) => live.has(item))) wrong.push(event)
    }
  }
  expect(wrong).toEqual([])
  // 150 births an hour are expected; a standard deviation of births is below 1 because they come at even intervals.
  expect(born).toBeGreaterThan(880)
  expect(born).toBeLessThan(920)
  expect(died).toBeGreaterThan(750)
  expect(live.size).toBeGreaterThan(200)
})

test('a run that goes on later withdraws what died in between and repeats no request id', () => {
  const generator = smallWorld({ lifetimeMs: 2 * hourMs })
  const first = run(generator, hourMs)
  const previousMs = startMs + hourMs - 1
  const fromMs = startMs + 3 * hourMs
  const second = [...generator.events({ fromMs, untilMs: fromMs + hourMs, previousMs })]
  const live = new Set<string>()
  for (const change of [...itemChanges(first), ...itemChanges(second)]) {
    if (change.item === null) live.delete(change.itemId)
    else live.add(change.itemId)
  }
  const slot = generator.world.slotAt(fromMs + hourMs - 1)
  expect([...live].sort()).toEqual(slot.items.map((item) => `i${item.number}`).sort())
  const ids = [...impressions(first), ...impressions(second)].map((page) => page.requestId)
  expect(new Set(ids).size).toBe(ids.length)
})

test('a disturbance delivers late and twice, and loses and invents nothing', () => {
  const generator = smallWorld({ eventsPerSecond: 100 })
  const range = { fromMs: startMs, untilMs: startMs + 600_000 }
  const straight = [...generator.events(range)]
  const disturbance = { lateShare: 0.2, duplicateShare: 0.1, delayMaxMs: 30_000 }
  const shaken = [...generator.events(range, disturbance)]
  const key = (event: (typeof straight)[number]) =>
    event.kind === 'click'
      ? `click ${event.requestId} ${event.itemId}`
      : event.kind === 'item'
        ? `item ${event.itemId} ${event.eventTimeMs}`
        : event.requestId
  const events = straight.filter((event) => event.kind !== 'item').length
  expect(new Set(shaken.map(key))).toEqual(new Set(straight.map(key)))
  expect((shaken.length - straight.length) / events).toBeCloseTo(0.1, 1)
  let newestMs = 0
  let late = 0
  let delayMs = 0
  for (const event of shaken) {
    if (event.eventTimeMs < newestMs) late++
    newestMs = Math.max(newestMs, event.eventTimeMs)
    delayMs = Math.max(delayMs, newestMs - event.eventTimeMs)
  }
  expect(delayMs).toBeLessThanOrEqual(60_000)
  expect(late / events).toBeGreaterThan(0.15)
})

test.each([
  [{ users: 0 }, 'users'],
  [{ clicklessShare: 1.5 }, 'clicklessShare'],
  [{ eventsPerSecond: 0 }, 'eventsPerSecond'],
  [{ regions: [] }, 'regions'],
])('options that make no world are refused by name: %j', (options, name) => {
  expect(() => createGenerator(options)).toThrowError(new RegExp(`generator option ${name} must`))
})
