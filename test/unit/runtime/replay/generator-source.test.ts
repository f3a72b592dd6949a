import { expect, test } from 'vitest'
import {
  openGeneratedDays,
  openGenerator,
} from '../../../../src/runtime/replay/generator-source.ts'
import type { SourceEvent } from '../../../../src/streams/source-event.ts'
import { hourMs, smallWorld, startMs } from '../../streams/generator/support.ts'
import { eventsOf, positionAfter } from './support.ts'

const delayMaxMs = 600_000

function takenFrom(events: Iterable<SourceEvent>, count: number): SourceEvent[] {
  const taken: SourceEvent[] = []
  for (const event of events) {
    if (taken.push(event) === count) break
  }
  return taken
}

test('a live source begins now and has no end; after a pause it begins at the new now', () => {
  let nowMs = startMs
  const source = openGenerator({
    generator: smallWorld(),
    clock: { nowMs: () => nowMs },
    isLive: true,
  })
  const first = takenFrom(source.events(null) as Iterable<SourceEvent>, 2_000)
  expect(first[0]!.eventTimeMs).toBe(startMs)
  expect(source.shareDone()).toBeNull()
  nowMs += 5 * hourMs
  const after = positionAfter(source, first)
  const second = takenFrom(source.events(after) as Iterable<SourceEvent>, 2_000)
  expect(second[0]!.eventTimeMs).toBe(nowMs)
  expect(second.some((event) => event.kind === 'item' && event.item === null)).toBe(true)
  nowMs = 0
  const third = takenFrom(source.events(after) as Iterable<SourceEvent>, 1)
  expect(third[0]!.eventTimeMs).toBe(after.lastEventTimeMs + 1)
})

test('a past source ends before now, clicks included, and goes on from its position', async () => {
  const clock = { nowMs: () => startMs }
  const generator = smallWorld()
  const source = openGenerator({ generator, clock, isLive: false, spanMs: hourMs })
  const events = await eventsOf(source)
  const times = events.flatMap((event) => (event.kind === 'item' ? [] : [event.eventTimeMs]))
  expect(times.length).toBeGreaterThan(60_000)
  expect(times[0]).toBeGreaterThan(startMs - delayMaxMs - hourMs)
  expect(times.at(-1)).toBeGreaterThan(startMs - delayMaxMs - 1_000)
  expect(times.at(-1)).toBeLessThan(startMs)
  expect(source.shareDone()).toBe(1)

  const half = positionAfter(source, events.slice(0, 40_000))
  const rest = (await eventsOf(source, half)).filter((event) => event.kind !== 'item')
  expect(rest[0]!.eventTimeMs).toBeGreaterThan(half.lastEventTimeMs)
  const ids = new Set(
    events.slice(0, 40_000).map((event) => event.kind === 'impression' && event.requestId),
  )
  expect(rest.filter((event) => event.kind === 'impression' && ids.has(event.requestId))).toEqual(
    [],
  )
})

test('generated days are whole UTC days, the same whenever they are made, also from a position on', async () => {
  const days = () => openGeneratedDays(smallWorld({ eventsPerSecond: 0.2, slotMs: 10 * 60_000 }), 2)
  const source = days()
  const events = await eventsOf(source)
  const pages = events.filter((event) => event.kind === 'impression')
  const dayOf = (timeMs: number) => new Date(timeMs).toISOString().slice(0, 10)
  expect(new Set(pages.map(({ eventTimeMs }) => dayOf(eventTimeMs)))).toEqual(
    new Set(['2026-01-05', '2026-01-06']),
  )
  expect(events.at(-1)!.eventTimeMs).toBeLessThan(Date.UTC(2026, 0, 7) + delayMaxMs)
  expect(source.shareDone()).toBe(1)
  const after = positionAfter(source, events.slice(0, 3_000))
  expect(await eventsOf(days(), after)).toEqual(events.slice(3_000))
})
