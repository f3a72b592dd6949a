import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ErrorCode } from '../../../src/errors.ts'
import {
  decodeDeadLetter,
  decodeEventHead,
  decodeExample,
  decodeExampleHead,
  encodeEvent,
} from '../../../src/records/codec.ts'
import {
  noFeatures,
  type Click,
  type Features,
  type Impression,
} from '../../../src/records/types.ts'
import { joiner } from '../../../src/streams/joiner.ts'
import { openCount } from '../../../src/streams/joiner-state.ts'
import type { SinkRecord, SourceRecord } from '../../../src/streams/stage.ts'
import { joinerLog } from '../../support/joiner-log.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { stageDriver } from '../../support/stage-driver.ts'

const windowMs = 1_000
const graceMs = 100
const topics = { examples: 'test.examples', deadLetters: 'test.dead-letters' }
const features: Features = {
  categorical: new Map([['device', ['phone', 'tv']]]),
  numeric: new Map([['age', 41]]),
  dense: new Map([['taste', [0.25, -1]]]),
}

function drive(limits: { openImpressionsMax?: number; clicksPerRequestMax?: number } = {}) {
  const stage = joiner({
    windowMs,
    graceMs,
    openImpressionsMax: 1_000,
    clicksPerRequestMax: 100,
    topics,
    ...limits,
  })
  return stageDriver(stage, { topic: 'test.events', partition: 2 })
}

function shown(requestId: string, atMs: number, more: Partial<Impression> = {}): Buffer {
  return encodeEvent({
    kind: 'impression',
    requestId,
    userId: 'ada',
    eventTimeMs: atMs,
    scenario: 'home',
    items: ['a', 'b', 'c'],
    eliminated: ['x'],
    features: noFeatures,
    ...more,
  })
}

function clicked(
  requestId: string,
  itemId: string,
  atMs: number,
  more: Partial<Click> = {},
): Buffer {
  return encodeEvent({
    kind: 'click',
    requestId,
    userId: 'ada',
    itemId,
    eventTimeMs: atMs,
    action: 'click',
    weight: 1,
    ...more,
  })
}

function heartbeat(atMs: number): Buffer {
  return encodeEvent({ kind: 'heartbeat', eventTimeMs: atMs })
}

/** In short: `r/item` of an example, `code@offset` of a dead letter, `time` of a heartbeat. */
function short({ topic, value }: SinkRecord): string {
  if (topic === topics.deadLetters) {
    const { code, offset } = decodeDeadLetter(value!)
    return `${code}@${offset}`
  }
  const example = decodeExample(value!)
  return example.kind === 'example'
    ? `${example.requestId}/${example.itemId}`
    : String(example.eventTimeMs)
}

describe('what comes out', () => {
  test('a click yields exactly one example, whatever is delivered twice or too early', () => {
    const driver = drive()
    driver.pipe(clicked('r1', 'a', 5_010))
    driver.pipe(shown('r1', 5_000))
    driver.pipe(shown('r1', 5_000))
    driver.pipe(clicked('r1', 'a', 5_010))
    driver.pipe(clicked('r1', 'b', 5_020))
    driver.pipe(clicked('r1', 'b', 5_030))
    expect(driver.drain().map(short)).toEqual(['r1/a', 'r1/b'])
    expect(driver.state.counters).toMatchObject({ examples: 2, duplicates: 3, conflicts: 0 })
    expect(driver.state.counters.deadLetters).toEqual({})
  })

  test('an example carries both sides, the arrival of the click, the partition and the user', () => {
    const driver = drive()
    driver.pipe(shown('r1', 5_000, { features }), 7_000)
    driver.pipe(clicked('r1', 'b', 5_400, { weight: 2.5, action: 'play' }), 7_777)
    const [record] = driver.drain()
    expect(record).toMatchObject({
      topic: topics.examples,
      key: 'ada',
      partition: 2,
      timestampMs: 7_777,
    })
    expect(decodeExample(record!.value!)).toEqual({
      kind: 'example',
      requestId: 'r1',
      userId: 'ada',
      itemId: 'b',
      eventTimeMs: 5_400,
      impressionTimeMs: 5_000,
      position: 1,
      weight: 2.5,
      scenario: 'home',
      hardNegatives: ['x'],
      features,
    })
  })

  test('the example of an early click carries the arrival of the click, not of the page', () => {
    const driver = drive()
    driver.pipe(clicked('r1', 'b', 5_000), 7_000)
    driver.pipe(shown('r1', 5_000), 7_777)
    expect(driver.drain().map(({ timestampMs }) => timestampMs)).toEqual([7_000])
  })

  test('feature bytes are copied verbatim', () => {
    const driver = drive()
    const impression = shown('r1', 5_000, { features })
    driver.pipe(impression)
    driver.pipe(clicked('r1', 'a', 5_000))
    const example = decodeExampleHead(driver.drain()[0]!.value!)
    const head = decodeEventHead(impression)
    expect(head.kind === 'impression' && example.kind === 'example').toBe(true)
    if (head.kind !== 'impression' || example.kind !== 'example') return
    expect(example.features.equals(head.features)).toBe(true)
  })

  test('a heartbeat goes on with the stream time, which never goes back', () => {
    const driver = drive()
    driver.pipe(heartbeat(5_000), 9_000)
    driver.pipe(heartbeat(4_000))
    driver.pipe(shown('r1', 6_000))
    driver.pipe(heartbeat(5_500))
    const outputs = driver.drain()
    expect(outputs.map(short)).toEqual(['5000', '5000', '6000'])
    expect(outputs[0]).toMatchObject({ partition: 2, key: null, timestampMs: 9_000 })
  })

  test('a dead letter holds the original, its place and the reason', () => {
    const driver = drive()
    const original = clicked('r1', 'elsewhere', 5_000)
    driver.skip(40)
    driver.pipe(shown('r1', 5_000))
    driver.pipe(original, 7_000)
    const [record] = driver.drain()
    expect(record).toMatchObject({
      topic: topics.deadLetters,
      key: 'test.events',
      timestampMs: 7_000,
    })
    expect(decodeDeadLetter(record!.value!)).toEqual({
      sourceTopic: 'test.events',
      partition: 2,
      offset: 41,
      code: 'CLICK_NOT_SHOWN',
      message: 'the item is not on the page',
      role: 'joiner',
      original,
      originalKey: null,
    })
  })
})

describe('what does not join is a dead letter', () => {
  const cases: [string, Buffer[], ErrorCode | null][] = [
    [
      'another user',
      [shown('r', 5_000), clicked('r', 'a', 5_000, { userId: 'eve' })],
      'CLICK_OTHER_USER',
    ],
    ['not on the page', [shown('r', 5_000), clicked('r', 'z', 5_000)], 'CLICK_NOT_SHOWN'],
    ['at the end of the window', [shown('r', 5_000), clicked('r', 'a', 6_000)], null],
    ['past the window', [shown('r', 5_000), clicked('r', 'a', 6_001)], 'CLICK_OUTSIDE_WINDOW'],
    ['before its page within grace', [shown('r', 5_000), clicked('r', 'a', 4_900)], null],
    [
      'too long before its page',
      [shown('r', 5_000), clicked('r', 'a', 4_899)],
      'CLICK_OUTSIDE_WINDOW',
    ],
    [
      'early, at the edge of grace',
      [clicked('r', 'a', 5_000), heartbeat(5_100), shown('r', 5_000)],
      null,
    ],
    ['early and unmatched', [clicked('r', 'a', 5_000), heartbeat(5_101)], 'CLICK_UNMATCHED'],
    [
      'no page, at the edge of late',
      [heartbeat(5_100), clicked('r', 'a', 5_000), shown('r', 5_000)],
      null,
    ],
    ['no page, late', [heartbeat(5_101), clicked('r', 'a', 5_000)], 'CLICK_LATE'],
    [
      'page at the edge of late',
      [heartbeat(6_100), shown('r', 5_000), clicked('r', 'a', 6_000)],
      null,
    ],
    ['page late', [heartbeat(6_101), shown('r', 5_000)], 'IMPRESSION_LATE'],
    [
      'page expired',
      [shown('r', 5_000), heartbeat(6_101), clicked('r', 'a', 6_050)],
      'CLICK_UNMATCHED',
    ],
  ]
  test.each(cases)('%s', (_, records, code) => {
    const driver = drive()
    for (const record of records) driver.pipe(record)
    driver.pipe(heartbeat(1_000_000))
    const codes = driver
      .drain()
      .map(short)
      .filter((text) => text.includes('@'))
      .map((text) => text.split('@')[0])
    expect(codes).toEqual(code === null ? [] : [code])
    expect(driver.state.counters.deadLetters).toEqual(code === null ? {} : { [code]: 1 })
    expect(driver.state.counters.examples).toBe(code === null ? 1 : 0)
    expect(openCount(driver.state)).toBe(0)
  })

  test('what cannot be decoded, with its own reason; the loop goes on', () => {
    const driver = drive()
    driver.pipe(Buffer.from('{"json": true}'))
    driver.pipe(null)
    const truncated = shown('r1', 5_000)
    driver.pipe(truncated.subarray(0, 20))
    const unknownSchema = Buffer.from(shown('r1', 5_000))
    unknownSchema[5] = unknownSchema[5]! ^ 1
    driver.pipe(unknownSchema)
    driver.pipe(shown('r1', 5_000))
    driver.pipe(clicked('r1', 'a', 5_000))
    expect(driver.drain().map(short)).toEqual([
      'RECORD_UNDECODABLE@0',
      'RECORD_UNDECODABLE@1',
      'RECORD_UNDECODABLE@2',
      'SCHEMA_UNKNOWN@3',
      'r1/a',
    ])
  })
})

describe('a second page of the same request', () => {
  test.each([
    ['other items', { items: ['a', 'b'] }],
    ['other items, as many', { items: ['a', 'b', 'd'] }],
    ['another user', { userId: 'eve' }],
    ['another scenario', { scenario: 'search' }],
    ['other eliminated items', { eliminated: [] }],
    ['other features', { features }],
    ['another time', { eventTimeMs: 5_001 }],
  ])('with %s: the first wins, the second is counted', (_, more) => {
    const driver = drive()
    driver.pipe(shown('r1', 5_000))
    driver.pipe(shown('r1', 5_000, more))
    driver.pipe(clicked('r1', 'c', 5_010))
    expect(driver.drain().map(short)).toEqual(['r1/c'])
    expect(driver.state.counters).toMatchObject({ conflicts: 1, duplicates: 0 })
  })
})

describe('bounds', () => {
  test('a request is closed when none of the last openImpressionsMax records named it, stalest first', () => {
    const driver = drive({ openImpressionsMax: 3 })
    driver.pipe(clicked('r0', 'a', 5_000))
    driver.pipe(clicked('r1', 'a', 5_000))
    driver.pipe(clicked('r0', 'b', 5_000))
    driver.pipe(clicked('r2', 'a', 5_000))
    expect(openCount(driver.state)).toBe(3)
    expect(driver.drain()).toEqual([])
    driver.pipe(heartbeat(5_000)) // offset 4: r1, last named at 1, goes; r0 was named at 2
    expect(driver.drain().map(short)).toEqual(['CLICK_EVICTED@1', '5000'])
    driver.skip(10)
    driver.pipe(shown('r2', 5_000)) // what offsets left out count as well
    expect(driver.drain().map(short)).toEqual([
      'CLICK_EVICTED@0',
      'CLICK_EVICTED@2',
      'CLICK_EVICTED@3',
    ])
    expect(driver.state.counters).toMatchObject({ evictions: 3, deadLetters: { CLICK_EVICTED: 4 } })
    expect(openCount(driver.state)).toBe(1)
  })

  test('no more clicks wait for a page than clicksPerRequestMax', () => {
    const driver = drive({ clicksPerRequestMax: 2 })
    for (const item of ['a', 'b', 'c']) driver.pipe(clicked('r1', item, 5_000))
    driver.pipe(shown('r1', 5_000))
    expect(driver.drain().map(short)).toEqual(['CLICK_EVICTED@2', 'r1/a', 'r1/b'])
  })

  test('requests expire by the time they are kept until, then by offset', () => {
    const driver = drive()
    driver.pipe(clicked('late', 'a', 5_050))
    driver.pipe(clicked('tie1', 'a', 5_020))
    driver.pipe(clicked('early', 'a', 5_010))
    driver.pipe(clicked('tie2', 'a', 5_020))
    driver.pipe(clicked('prolonged', 'a', 5_000))
    driver.pipe(clicked('prolonged', 'b', 5_040))
    driver.pipe(heartbeat(9_000))
    expect(driver.drain().map(short)).toEqual(
      [2, 1, 3, 4, 5, 0].map((offset) => `CLICK_UNMATCHED@${offset}`).concat('9000'),
    )
  })

  test('an id that is reused without end stops joining, and costs nothing but its name', () => {
    const driver = drive()
    for (let atMs = 5_000; atMs <= 9_000; atMs += 500) {
      driver.pipe(shown('undefined', atMs))
      driver.pipe(clicked('undefined', 'a', atMs))
    }
    const request = driver.state.requests.get('undefined')
    expect(request).toMatchObject({ firstOffset: 0, isOverstayed: true, impression: null })
    // 2 * (windowMs + graceMs) after it opened; until then the first page counts.
    expect(driver.drain().map(short)).toEqual([
      'undefined/a',
      ...[7, 9, 11, 13, 15, 17].map((offset) => `CLICK_OUTSIDE_WINDOW@${offset}`),
    ])
    expect(driver.state.counters).toMatchObject({ overstays: 1, conflicts: 8, duplicates: 2 })
  })

  test('early clicks of an id that is reused without end are dead letters', () => {
    const driver = drive()
    for (let atMs = 5_000; atMs <= 7_300; atMs += 100) driver.pipe(clicked('r', 'a', atMs))
    const out = driver.drain().map(short)
    expect(out.filter((text) => text.startsWith('CLICK_UNMATCHED'))).toHaveLength(23)
    expect(out.at(-1)).toBe('CLICK_OUTSIDE_WINDOW@23')
  })
})

test('what is kept does not change with the buffer it came in', () => {
  const driver = drive()
  const impression = shown('r1', 5_000, { features })
  const early = clicked('r2', 'a', 5_000)
  driver.pipe(impression)
  driver.pipe(early)
  impression.fill(0)
  early.fill(0)
  driver.pipe(clicked('r1', 'a', 5_000))
  driver.pipe(heartbeat(9_000))
  const [example, unmatched] = driver.drain()
  expect(decodeExample(example!.value!)).toMatchObject({ features })
  expect(decodeDeadLetter(unmatched!.value!).original).toEqual(clicked('r2', 'a', 5_000))
})

test('how the log is cut into batches does not change what comes out', () => {
  const stage = joiner({
    windowMs,
    graceMs,
    openImpressionsMax: 30,
    clicksPerRequestMax: 3,
    topics,
  })
  const batches = (records: readonly SourceRecord[], cuts: readonly number[]) => {
    const bounds = [0, ...cuts.map((cut) => cut % records.length), records.length]
    bounds.sort((a, b) => a - b)
    return bounds.slice(1).map((to, i) => records.slice(bounds[i], to))
  }
  fc.assert(
    fc.property(fc.nat(1_000), fc.array(fc.nat(10_000), { maxLength: 40 }), (seed, cuts) => {
      const { records } = joinerLog(seededRandom(seed), {
        ...{ requests: 40, windowMs, graceMs, disorderMs: 3 * graceMs, skewMs: graceMs },
        isWild: true,
      })
      const state = stage.init()
      const whole = stage.onBatch(stage.init(), records)
      expect(whole.length).toBeGreaterThan(0)
      expect(batches(records, cuts).flatMap((batch) => stage.onBatch(state, batch))).toEqual(whole)
    }),
    { seed: 17, numRuns: 60 },
  )
})
