import { describe, expect, test } from 'vitest'
import { encodeEvent } from '../../../src/records/codec.ts'
import { joiner } from '../../../src/streams/joiner.ts'
import {
  commitMetadata,
  emptyState,
  endRebuild,
  initAt,
  openCount,
  parseCommitMetadata,
  serialiseState,
  type JoinerState,
} from '../../../src/streams/joiner-state.ts'
import type { SourceRecord } from '../../../src/streams/stage.ts'

const stage = joiner({
  windowMs: 1_000,
  graceMs: 100,
  openImpressionsMax: 50,
  clicksPerRequestMax: 10,
  topics: { examples: 'test.examples', deadLetters: 'test.dead-letters' },
})

function click(offset: number, requestId: string, eventTimeMs: number): SourceRecord {
  return record(offset, {
    kind: 'click',
    ...{ requestId, userId: 'ada', itemId: 'a', eventTimeMs, action: 'click', weight: 1 },
  })
}

function heartbeat(offset: number, eventTimeMs: number): SourceRecord {
  return record(offset, { kind: 'heartbeat', eventTimeMs })
}

function record(offset: number, event: Parameters<typeof encodeEvent>[0]): SourceRecord {
  const value = encodeEvent(event)
  return { topic: 'test.events', partition: 0, offset, timestampMs: 0, key: null, value }
}

/** The state after a log in which some ids are reused without end. */
function overstayed(ids: readonly string[]): { state: JoinerState; log: SourceRecord[] } {
  const state = stage.init()
  const log: SourceRecord[] = []
  for (let round = 0; round <= 30; round++) {
    for (const id of ids) log.push(click(log.length, id, 5_000 + round * 90))
  }
  stage.onBatch(state, log)
  return { state, log }
}

describe('commit metadata', () => {
  test('names the offset of the oldest open request and the stream time before it', () => {
    const state = stage.init()
    stage.onBatch(state, [heartbeat(3, 5_000), click(4, 'r1', 5_200), click(5, 'r2', 5_250)])
    expect(JSON.parse(commitMetadata(state, 6))).toEqual({
      v: 1,
      lowWater: 4,
      streamTimeMs: 5_250,
      streamTimeAtLowWaterMs: 5_000,
    })
  })

  test('with nothing open, a rebuild starts at the committed offset', () => {
    const state = stage.init()
    stage.onBatch(state, [click(3, 'r1', 5_000), heartbeat(4, 9_000)])
    const metadata = parseCommitMetadata(commitMetadata(state, 5))
    expect(metadata).toEqual({
      ...{ lowWater: 5, streamTimeMs: 9_000, streamTimeAtLowWaterMs: 9_000, overstayed: [] },
    })
    expect(openCount(initAt(metadata))).toBe(0)
  })

  test('an id reused without end does not hold lowWater back, and is there again after a rebuild', () => {
    const { state, log } = overstayed(['undefined'])
    stage.onBatch(state, [click(31, 'r1', 7_700)])
    const text = commitMetadata(state, 32)
    const metadata = parseCommitMetadata(text)
    expect(metadata.lowWater).toBe(31)
    expect(metadata.overstayed.map(({ requestId }) => requestId)).toEqual(['undefined'])

    const rebuilt = initAt(metadata)
    stage.onBatch(
      rebuilt,
      [...log, click(31, 'r1', 7_700)].filter(({ offset }) => offset >= 31),
    )
    expect(serialiseState(rebuilt).toString()).toBe(serialiseState(state).toString())
  })

  test('restored requests are evicted in the order they were last named, not opened', () => {
    const { state } = overstayed(['one', 'two'])
    // `one` opened first and is named last.
    stage.onBatch(state, [click(70, 'two', 7_700), click(75, 'one', 7_700)])
    const rebuilt = initAt(parseCommitMetadata(commitMetadata(state, 76)))
    expect(openCount(rebuilt)).toBe(2)
    for (const either of [state, rebuilt]) stage.onBatch(either, [heartbeat(121, 7_700)])
    expect(openCount(state)).toBe(1)
    expect(serialiseState(rebuilt).toString()).toBe(serialiseState(state).toString())
  })

  test.each([
    ['many', Array.from({ length: 40 }, (_, i) => `id${i}`.padEnd(70, 'x')), 16],
    ['long ids', ['short', 'x'.repeat(79), 'after'], 1],
    ['ids that grow in JSON', ['\u0001'.repeat(14), 'after'], 0],
    ['ids of many bytes', ['é'.repeat(40), 'after'], 0],
  ])('fits in 4,096 bytes with %s overstayed', (_, ids, listed) => {
    const { state } = overstayed(ids)
    expect(openCount(state)).toBe(ids.length)
    const text = commitMetadata(state, 10_000)
    const metadata = parseCommitMetadata(text)
    expect(Buffer.byteLength(text)).toBeLessThan(4_096)
    expect(metadata.overstayed).toHaveLength(listed)
    // The first that is not listed holds lowWater back.
    expect(metadata.lowWater).toBe(listed)
  })

  test.each([
    ['', 'not the joiner'],
    ['{"v":1', 'not the joiner'],
    ['null', 'not an object'],
    ['{"v":2,"lowWater":0,"streamTimeMs":0,"streamTimeAtLowWaterMs":0}', 'version is 2'],
    ['{"v":1,"lowWater":-1,"streamTimeMs":0,"streamTimeAtLowWaterMs":0}', 'lowWater'],
    ['{"v":1,"lowWater":"5","streamTimeMs":0,"streamTimeAtLowWaterMs":0}', 'lowWater'],
    ['{"v":1,"lowWater":0,"streamTimeMs":1e99,"streamTimeAtLowWaterMs":0}', 'streamTimeMs'],
    ['{"v":1,"lowWater":0,"streamTimeMs":0}', 'streamTimeAtLowWaterMs'],
    ['{"v":1,"lowWater":0,"streamTimeMs":0,"streamTimeAtLowWaterMs":0,"overstayed":3}', 'list'],
    ['{"v":1,"lowWater":0,"streamTimeMs":0,"streamTimeAtLowWaterMs":0,"overstayed":[[1]]}', 'id'],
    [
      '{"v":1,"lowWater":0,"streamTimeMs":0,"streamTimeAtLowWaterMs":0,"overstayed":[["r",1]]}',
      'last',
    ],
  ])('refuses %s', (text, why) => {
    expect(() => parseCommitMetadata(text)).toThrow(
      expect.objectContaining({
        code: 'CHECKPOINT_INVALID',
        message: expect.stringContaining(why) as string,
      }) as Error,
    )
  })
})

test('a rebuild that ends at another stream time is refused; a right one starts counting anew', () => {
  const state = stage.init()
  const records = [click(0, 'r1', 5_000), click(1, 'r2', 5_050)]
  stage.onBatch(state, records)
  const metadata = parseCommitMetadata(commitMetadata(state, 2))
  const incomplete = initAt(metadata)
  stage.onBatch(incomplete, records.slice(0, 1))
  expect(() => endRebuild(incomplete, metadata)).toThrow(/records in between are gone/)
  stage.onBatch(incomplete, [{ ...records[1]!, value: null }, records[1]!])
  expect(incomplete.counters.deadLetters).toEqual({ RECORD_UNDECODABLE: 1 })
  endRebuild(incomplete, metadata)
  expect(incomplete.counters).toEqual(emptyState().counters)
})
