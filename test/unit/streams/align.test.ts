import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Aligner, type Alignable } from '../../../src/streams/align.ts'

const options = { alignMs: 100, idleMs: 1_000, bufferedRecordsMax: 100 }
/** Arrival of what is no longer live: a backlog. */
const longAgoMs = 1_000_000

function event(offset: number, eventTimeMs: number, timestampMs = longAgoMs): Alignable {
  return { offset, eventTimeMs, timestampMs }
}

function aligner(...keys: string[]): Aligner<Alignable> {
  const merge = new Aligner<Alignable>(options)
  for (const key of keys) merge.assign(key, 0)
  return merge
}

/** Events at these times, offsets from 0, and so many records left unread behind them. */
function arrived(times: readonly number[], unread = 0, timestampMs = longAgoMs) {
  const events = times.map((timeMs, offset) => event(offset, timeMs, timestampMs))
  return { events, nextOffset: times.length, highWatermark: times.length + unread }
}

function times(merge: Aligner<Alignable>, nowMs = 0, eventsMax?: number): number[] {
  return merge.next(nowMs, eventsMax).events.map(({ eventTimeMs }) => eventTimeMs)
}

describe('order', () => {
  test('two sources are merged by event time, each in its own order', () => {
    const merge = aligner('a', 'b')
    merge.add('a', arrived([10, 30, 20, 50]), 0)
    merge.add('b', arrived([15, 35, 40]), 0)
    expect(times(merge)).toEqual([10, 15, 30, 20, 35, 40, 50])
  })

  test('a later batch goes on behind what is still buffered', () => {
    const merge = aligner('a', 'b')
    merge.add('a', arrived([10, 500]), 0)
    merge.add('b', arrived([20], 5), 0)
    expect(times(merge)).toEqual([10, 20])
    merge.add('a', { events: [event(2, 510)], nextOffset: 3, highWatermark: 3 }, 0)
    merge.add('b', { events: [event(1, 505)], nextOffset: 2, highWatermark: 2 }, 0)
    expect(times(merge)).toEqual([500, 505, 510])
  })

  test('so many at a time as are asked for', () => {
    const merge = aligner('a', 'b')
    merge.add('a', arrived([1, 2, 5]), 0)
    merge.add('b', arrived([3, 4]), 0)
    expect([times(merge, 0, 0), times(merge, 0, 3), times(merge, 0, 3)]).toEqual([
      [],
      [1, 2, 3],
      [4, 5],
    ])
  })

  test('of any sources read whole, what comes out is the merge of their heads', () => {
    const sources = fc.array(fc.array(fc.nat(2_000), { maxLength: 20 }), {
      minLength: 1,
      maxLength: 6,
    })
    fc.assert(
      fc.property(sources, (lists) => {
        const merge = aligner(...lists.map((_, i) => String(i)))
        lists.forEach((list, i) => merge.add(String(i), arrived(list), 0))
        const heads = lists.map((list) => [...list])
        const expected: number[] = []
        for (;;) {
          const open = heads.filter((list) => list.length > 0)
          if (open.length === 0) break
          open.sort((x, y) => x[0]! - y[0]!)
          expected.push(open[0]!.shift()!)
        }
        expect(times(merge, options.idleMs)).toEqual(expected)
      }),
      { seed: 17 },
    )
  })
})

describe('a source that is ahead waits', () => {
  test('for one that has unread records, up to alignMs', () => {
    const merge = aligner('a', 'b')
    merge.add('a', arrived([150, 151, 300]), 0)
    merge.add('b', arrived([50], 1), 0)
    expect(times(merge)).toEqual([50, 150])
    expect(times(merge, 10_000)).toEqual([])
    merge.add('b', { events: [event(1, 199)], nextOffset: 2, highWatermark: 3 }, 10_000)
    expect(times(merge, 10_000)).toEqual([151, 199])
    merge.add('b', { events: [event(2, 200)], nextOffset: 3, highWatermark: 3 }, 10_000)
    expect(times(merge, 10_000)).toEqual([200, 300])
  })

  test('but not for ever, if those records never come', () => {
    const merge = aligner('a', 'b')
    merge.add('b', arrived([50], 1), 0)
    merge.add('a', arrived([300]), 0)
    expect(times(merge, 14_999)).toEqual([50])
    expect(times(merge, 15_000)).toEqual([300])
  })

  test('for one that nothing has been read of, idleMs long', () => {
    const merge = aligner('a', 'b')
    merge.add('a', arrived([300]), 0)
    expect(times(merge, 999)).toEqual([])
    expect(times(merge, 1_000)).toEqual([300])
  })

  test('for one read to its end a moment ago, idleMs long', () => {
    const merge = aligner('a', 'b')
    merge.add('a', arrived([300]), 0)
    merge.add('b', arrived([50]), 500)
    expect(times(merge, 1_499)).toEqual([50])
    expect(times(merge, 1_500)).toEqual([300])
  })

  test('unless it is live: then only for unread records', () => {
    const merge = aligner('a', 'b', 'late')
    merge.add('late', arrived([10]), 0)
    merge.add('b', arrived([150]), 0)
    merge.add('a', arrived([300], 0, 399), 0)
    // 150 is no longer live and waits for more of `late`; 300 is.
    expect(times(merge)).toEqual([10, 300])
    expect(times(merge, options.idleMs)).toEqual([150])

    const unread = aligner('a', 'b')
    unread.add('b', arrived([10], 1), 0)
    unread.add('a', arrived([300], 0, 399), 0)
    expect(times(unread)).toEqual([10])
  })

  test('no more once the other is revoked', () => {
    const merge = aligner('a', 'b')
    merge.add('a', arrived([300]), 0)
    merge.add('b', arrived([50], 1), 0)
    merge.revoke('b')
    expect(times(merge)).toEqual([300])
  })
})

describe('flow', () => {
  test('a partition is paused at its share and resumed when half of it is gone', () => {
    const merge = aligner('a', 'b')
    merge.add('a', arrived(Array.from({ length: 49 }, (_, i) => i)), 0)
    expect(merge.next(options.idleMs, 0)).toEqual({ events: [], pause: [], resume: [] })
    merge.add('a', { events: [event(49, 49)], nextOffset: 50, highWatermark: 50 }, 0)
    expect(merge.next(options.idleMs, 0)).toMatchObject({ pause: ['a'], resume: [] })
    expect(merge.next(options.idleMs, 24)).toMatchObject({ pause: [], resume: [] })
    expect(merge.next(options.idleMs, 1)).toMatchObject({ pause: [], resume: ['a'] })
    expect(merge.bufferedCount).toBe(25)
  })

  test('the one that the others wait for is never paused', () => {
    const merge = aligner('a', 'b')
    merge.add('b', arrived([1], 10), 0)
    merge.add('a', arrived(Array.from({ length: 500 }, (_, i) => 1_000 + i)), 0)
    expect(merge.next(0)).toMatchObject({ events: [event(0, 1)], pause: ['a'], resume: [] })
  })
})

describe('what is known', () => {
  test('a position is the first record that has not been handed out', () => {
    const merge = aligner('a', 'b')
    expect(merge.position('a')).toBeNull()
    merge.add('a', { events: [event(7, 1), event(9, 400)], nextOffset: 12, highWatermark: 12 }, 0)
    merge.add('b', arrived([], 3), 0)
    expect(merge.position('a')).toBe(7)
    expect(times(merge, 15_000, 1)).toEqual([1])
    expect(merge.position('a')).toBe(9)
    times(merge, 15_000)
    expect(merge.position('a')).toBe(12)
    expect(merge.position('b')).toBe(0)
  })

  test('caught up: everything read has been handed out, and nothing is known to be unread', () => {
    const merge = aligner('a', 'b')
    expect(merge.isCaughtUp(999)).toBe(false)
    expect(merge.isCaughtUp(1_000)).toBe(true)
    merge.add('a', arrived([1]), 2_000)
    merge.add('b', arrived([], 1), 2_000)
    expect(merge.isCaughtUp(2_000)).toBe(false)
    merge.add('b', { events: [], nextOffset: 1, highWatermark: 1 }, 2_000)
    expect(merge.isCaughtUp(2_000)).toBe(false)
    expect(times(merge, 3_000)).toEqual([1])
    expect(merge.isCaughtUp(3_000)).toBe(true)
  })

  test('a partition that is not assigned is a mistake', () => {
    const merge = aligner('a')
    expect(() => merge.add('b', arrived([1]), 0)).toThrow(/partition b is not assigned/)
  })
})
