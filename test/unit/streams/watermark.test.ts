import { expect, test } from 'vitest'
import { Watermark } from '../../../src/streams/watermark.ts'

const nowMs = 10_000_000

function watermark(): Watermark {
  return new Watermark({ partitions: 3, heartbeatMs: 1_000, alignMs: 60_000 })
}

test('before the first event there is nothing to tell', () => {
  expect(watermark().due(nowMs, true)).toEqual([])
})

test('each partition is told the highest event time, unless it knows', () => {
  const mark = watermark()
  mark.onEmitted(0, 500, nowMs)
  mark.onEmitted(1, 400, nowMs)
  expect(mark.due(nowMs, false)).toEqual([
    { partition: 1, eventTimeMs: 500 },
    { partition: 2, eventTimeMs: 500 },
  ])
  expect(mark.due(nowMs + 1_000, false)).toEqual([])
  mark.onEmitted(2, 600, nowMs)
  expect(mark.due(nowMs + 2_000, false)).toEqual([
    { partition: 0, eventTimeMs: 600 },
    { partition: 1, eventTimeMs: 600 },
  ])
})

test('what every partition has been told is not told again', () => {
  const mark = watermark()
  mark.onEmitted(0, 500, nowMs)
  mark.onMarked(700)
  expect(mark.due(nowMs, false)).toEqual([])
  mark.onEmitted(0, 600, nowMs)
  expect(mark.due(nowMs + 1_000, false)).toEqual([])
  mark.onEmitted(0, 800, nowMs)
  expect(mark.due(nowMs + 2_000, false)).toHaveLength(2)
})

test('once every heartbeatMs at most', () => {
  const mark = watermark()
  mark.onEmitted(0, 500, nowMs)
  expect(mark.due(nowMs, false)).toHaveLength(2)
  mark.onEmitted(0, 600, nowMs)
  expect(mark.due(nowMs + 999, false)).toEqual([])
  expect(mark.due(nowMs + 1_000, false)).toHaveLength(2)
})

test('live and caught up, event time goes on with the clock, as late as the last event was', () => {
  const mark = watermark()
  mark.onEmitted(0, nowMs - 300, nowMs)
  const eventTimeMs = nowMs + 5_000 - 300
  expect(mark.due(nowMs + 5_000, true)).toEqual(
    [0, 1, 2].map((partition) => ({ partition, eventTimeMs })),
  )
})

test('it stands still while something is unread', () => {
  const mark = watermark()
  mark.onEmitted(0, nowMs - 300, nowMs)
  expect(mark.due(nowMs + 5_000, false).map(({ eventTimeMs }) => eventTimeMs)).toEqual([
    nowMs - 300,
    nowMs - 300,
  ])
})

test.each([
  ['live', 59_999, nowMs + 5_000 - 59_999],
  ['a replay of old data', 60_000, nowMs - 60_000],
])('the last event as %s', (_, ageMs, eventTimeMs) => {
  const mark = watermark()
  mark.onEmitted(0, nowMs - ageMs, nowMs)
  expect(mark.due(nowMs + 5_000, true)).toContainEqual({ partition: 1, eventTimeMs })
})

test('an event from a fast clock does not carry event time beyond our own', () => {
  const mark = watermark()
  mark.onEmitted(0, nowMs + 2_000, nowMs)
  const times = (atMs: number) => mark.due(atMs, true).map(({ eventTimeMs }) => eventTimeMs)
  expect(times(nowMs + 1_000)).toEqual([nowMs + 2_000, nowMs + 2_000])
  expect(times(nowMs + 5_000)).toEqual([nowMs + 5_000, nowMs + 5_000, nowMs + 5_000])
})

test('event time never goes back', () => {
  const mark = watermark()
  mark.onEmitted(0, nowMs, nowMs)
  mark.due(nowMs + 5_000, true)
  mark.onEmitted(0, nowMs - 30_000, nowMs + 6_000)
  expect(mark.due(nowMs + 7_000, true)).toEqual([])
})
