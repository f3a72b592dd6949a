import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Aligner, type Alignable, type SourceHeartbeat } from '../../../src/streams/align.ts'

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

interface Named extends Alignable {
  readonly source: string
}

type Log = readonly (Named | SourceHeartbeat)[]

const chunkMs = 100
/** In the order of topic and number, which is not that of the letters. */
const punctuatedKeys = ['clicks/0', 'clicks/2', 'clicks/10', 'pages/1']

function heartbeat(offset: number, eventTimeMs: number): SourceHeartbeat {
  return { kind: 'heartbeat', offset, eventTimeMs, timestampMs: longAgoMs }
}

/** A heartbeat, then chunks with one behind each, as a replay sends them. `chunks`: times within each chunk. */
function logOf(source: string, chunks: readonly (readonly number[])[]): Log {
  const log: (Named | SourceHeartbeat)[] = [heartbeat(0, 0)]
  for (const [chunk, times] of chunks.entries()) {
    for (const timeMs of times) {
      log.push({ ...event(log.length, chunk * chunkMs + timeMs), source })
    }
    log.push(heartbeat(log.length, (chunk + 1) * chunkMs))
  }
  log.push(heartbeat(log.length, (chunks.length + 1) * chunkMs))
  return log
}

/** Gives the logs to an aligner in pieces: `[source, records, most to take]`; what is left comes last, source by source. */
function merged(logs: readonly Log[], pieces: readonly (readonly [number, number, number])[]) {
  const merge = new Aligner<Named>(options)
  for (const key of punctuatedKeys) merge.assign(key, 0)
  const at = logs.map(() => 0)
  const out: Named[] = []
  const marks: { readonly after: number; readonly eventTimeMs: number }[] = []
  let nowMs = 0
  const step = (i: number, count: number, most: number): void => {
    const log = logs[i]!
    const events = log.slice(at[i], at[i]! + count)
    at[i]! += events.length
    // In all longer than a source without heartbeats is waited for, and shorter than one with.
    nowMs += 0.15 * options.idleMs
    const arrived = { events, nextOffset: at[i]!, highWatermark: log.length }
    if (events.length > 0) merge.add(punctuatedKeys[i]!, arrived, nowMs)
    const taken = merge.next(nowMs, most)
    for (const { after, eventTimeMs } of taken.marks) {
      marks.push({ after: out.length + after, eventTimeMs })
    }
    out.push(...taken.events)
  }
  // Every source has said something before the first event comes.
  logs.forEach((_, i) => step(i, 1, 0))
  for (const [i, count, most] of pieces) step(i % logs.length, count, most)
  logs.forEach((log, i) => step(i, log.length, 0))
  step(0, 0, Infinity)
  return {
    out: out.map(({ source, offset, eventTimeMs }) => ({ source, offset, eventTimeMs })),
    marks,
  }
}

describe('punctuated sources', () => {
  const anyOrder = fc.array(fc.nat(chunkMs), { maxLength: 4 })
  const ordered = anyOrder.map((list) => [...list].sort((a, b) => a - b))
  const pieces = fc.array(fc.tuple(fc.nat(3), fc.nat(4), fc.nat(3)), { maxLength: 60 })
  const logs = (chunk: fc.Arbitrary<number[]>) => {
    const chunks = fc.array(chunk, { minLength: 6, maxLength: 6 })
    return fc
      .tuple(...punctuatedKeys.map(() => chunks))
      .map((lists) => lists.map((list, i) => logOf(punctuatedKeys[i]!, list)))
  }

  test('come out by (time, topic, partition), whenever and in whatever pieces they arrive', () => {
    fc.assert(
      fc.property(logs(ordered), pieces, (lists, cuts) => {
        const place = ({ source }: { source: string }) => punctuatedKeys.indexOf(source)
        const expected = lists
          .flatMap((log) => log.filter((entry) => 'source' in entry))
          .map(({ source, offset, eventTimeMs }) => ({ source, offset, eventTimeMs }))
          .sort(
            (a, b) => a.eventTimeMs - b.eventTimeMs || place(a) - place(b) || a.offset - b.offset,
          )
        expect(merged(lists, cuts).out).toEqual(expected)
      }),
      { seed: 17, numRuns: 300 },
    )
  })

  test('come out the same also where they are in disorder, or break their word', () => {
    const broken = fc.array(fc.integer({ min: -150, max: chunkMs }), { maxLength: 4 })
    fc.assert(
      fc.property(logs(broken), pieces, (lists, cuts) => {
        expect(merged(lists, cuts).out).toEqual(merged(lists, []).out)
      }),
      { seed: 17, numRuns: 300 },
    )
  })

  test('all have passed what a mark says, and no event behind it is older', () => {
    fc.assert(
      fc.property(logs(anyOrder), pieces, (lists, cuts) => {
        const { out, marks } = merged(lists, cuts)
        expect(marks.map(({ eventTimeMs }) => eventTimeMs)).toEqual(
          [0, 1, 2, 3, 4, 5, 6, 7].map((n) => n * chunkMs),
        )
        for (const { after, eventTimeMs } of marks) {
          const behind = out.slice(after).map((event) => event.eventTimeMs)
          expect(Math.min(...behind, Infinity)).toBeGreaterThanOrEqual(eventTimeMs)
        }
      }),
      { seed: 17, numRuns: 300 },
    )
  })

  function pair(): Aligner<Alignable> {
    const merge = aligner('a', 'b')
    for (const key of ['a', 'b']) {
      merge.add(key, { events: [heartbeat(0, 10)], nextOffset: 1, highWatermark: 1 }, 0)
    }
    merge.next(0)
    return merge
  }

  test('hold back also what is live, and what is read to the end', () => {
    const merge = pair()
    expect(merge.isPunctuated).toBe(true)
    merge.add('b', { events: [event(1, 11, 12)], nextOffset: 2, highWatermark: 2 }, 0)
    expect(times(merge, 14_999)).toEqual([])
    merge.add('a', { events: [heartbeat(1, 12)], nextOffset: 2, highWatermark: 2 }, 14_999)
    expect(times(merge, 14_999)).toEqual([11])
  })

  test('of an equal time go first where their place is first', () => {
    const merge = pair()
    merge.add('b', { events: [event(1, 10)], nextOffset: 2, highWatermark: 2 }, 0)
    expect(times(merge)).toEqual([])
    merge.add('a', { events: [event(1, 10), event(2, 11)], nextOffset: 3, highWatermark: 3 }, 0)
    expect(times(merge)).toEqual([10, 10])
  })

  test('that fall silent are given up, but only once something has waited for them so long', () => {
    const merge = pair()
    expect(times(merge, 1_000_000)).toEqual([])
    merge.add('b', { events: [event(1, 500)], nextOffset: 2, highWatermark: 2 }, 1_000_000)
    expect(times(merge, 1_014_999)).toEqual([])
    expect(times(merge, 1_015_000)).toEqual([500])
    expect(merge.isPunctuated).toBe(false)
    merge.add('a', { events: [heartbeat(1, 600)], nextOffset: 2, highWatermark: 2 }, 1_015_000)
    merge.next(1_015_000)
    expect(merge.isPunctuated).toBe(true)
  })

  test('wait for a source that nothing has been read of yet, however slowly the reading begins', () => {
    const merge = aligner('a', 'b')
    const events = [heartbeat(0, 10), event(1, 500)]
    merge.add('b', { events, nextOffset: 2, highWatermark: 2 }, 0)
    expect(times(merge, 14_999)).toEqual([])
    merge.add('a', { events: [heartbeat(0, 600)], nextOffset: 1, highWatermark: 1 }, 14_999)
    expect(times(merge, 14_999)).toEqual([500])
  })

  test('say again what they said before, after a partition was assigned anew', () => {
    const merge = pair()
    merge.assign('b', 0)
    expect(merge.isPunctuated).toBe(false)
    merge.add('b', { events: [heartbeat(0, 10)], nextOffset: 1, highWatermark: 1 }, 0)
    expect(merge.next(0).marks).toEqual([{ after: 0, eventTimeMs: 10 }])
  })
})

describe('flow', () => {
  test('a partition is paused at its share and resumed when half of it is gone', () => {
    const merge = aligner('a', 'b')
    merge.add('a', arrived(Array.from({ length: 49 }, (_, i) => i)), 0)
    expect(merge.next(options.idleMs, 0)).toEqual({
      ...{ events: [], marks: [], pause: [], resume: [] },
    })
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
