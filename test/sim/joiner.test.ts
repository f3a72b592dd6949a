/**
 * Goal: whatever the log holds and whenever the joiner dies, what it sends is a function of the log alone, and within the
 * promised grace it is exactly the offline join of the log.
 *
 * Method: each seed makes a log with disorder, repeats, early, late and wrong clicks, conflicting pages, reused ids, broken
 * values and offset gaps, and options small enough for expiry and eviction to happen all the time. One run reads it
 * undisturbed. Another reads it in random batches that are sent and committed as transactions are, dies at random places
 * between two commits, and goes on from what the commit says: its state must be the committed one to the byte, and all that
 * was sent must be what the undisturbed run sent, to the byte. SIM_SEED=17 replays one seed.
 */
import { describe, expect, test } from 'vitest'
import { decodeExample } from '../../src/records/codec.ts'
import type { Event } from '../../src/records/types.ts'
import { joiner, type JoinerOptions } from '../../src/streams/joiner.ts'
import {
  commitMetadata,
  endRebuild,
  initAt,
  openCount,
  parseCommitMetadata,
  serialiseState,
  type JoinerCounters,
  type JoinerState,
} from '../../src/streams/joiner-state.ts'
import type { SinkRecord, SourceRecord, Stage } from '../../src/streams/stage.ts'
import { joinerLog } from '../support/joiner-log.ts'
import { offlineJoin } from '../support/offline-join.ts'
import { seededRandom, simulationSeeds, type SeededRandom } from '../support/seeded-random.ts'

const topics = { examples: 'test.examples', deadLetters: 'test.dead-letters' }
const seeds = simulationSeeds(300)
const seen = new Set<string>()

describe('a joiner that dies at any place', () => {
  test.each(seeds)('seed %i: sends what an undisturbed one sends', (seed) => {
    const random = seededRandom(seed)
    const options: JoinerOptions = {
      windowMs: random.pick([200, 1_000, 3_000]),
      graceMs: random.pick([0, 50, 300]),
      openImpressionsMax: random.pick([1, 3, 10, 40, 100, 1_000_000]),
      clicksPerRequestMax: random.pick([1, 3, 100]),
      topics,
    }
    const { records } = joinerLog(random, {
      ...options,
      requests: 150,
      disorderMs: random.pick([0, options.graceMs, 4 * options.graceMs + 500]),
      skewMs: options.graceMs,
      isWild: true,
    })
    const stage = joiner(options)
    const state = stage.init()
    const undisturbed = stage.onBatch(state, records)
    note(state.counters)

    const sent = readWithCrashes(stage, options, records, random)

    expect(bytesOf(sent).equals(bytesOf(undisturbed))).toBe(true)
  })

  test.skipIf(seeds.length === 1)('the seeds met every reason, and rebuilds of every kind', () => {
    expect([...seen].sort()).toEqual([
      'CLICK_EVICTED',
      'CLICK_LATE',
      'CLICK_NOT_SHOWN',
      'CLICK_OTHER_USER',
      'CLICK_OUTSIDE_WINDOW',
      'CLICK_UNMATCHED',
      'IMPRESSION_LATE',
      'RECORD_UNDECODABLE',
      'a request restored from the metadata',
      'conflicts',
      'duplicates',
      'evictions',
      'examples',
      'overstays',
    ])
  })
})

describe('a log within the grace', () => {
  test.each(seeds)('seed %i: gives the offline join', (seed) => {
    const random = seededRandom(seed)
    const options: JoinerOptions = {
      windowMs: 1_000,
      graceMs: 400,
      openImpressionsMax: 1_000_000,
      clicksPerRequestMax: 1_000,
      topics,
    }
    const disorderMs = random.between(0, options.graceMs)
    const { events, records } = joinerLog(random, {
      ...options,
      requests: 150,
      // An early click waits for graceMs: disorder and the skew of clocks share it.
      disorderMs,
      skewMs: options.graceMs - disorderMs,
      isWild: false,
    })
    const stage = joiner(options)
    const examples = stage
      .onBatch(stage.init(), records)
      .filter(({ topic }) => topic === topics.examples)
      .map(({ value }) => decodeExample(value!))
      .filter(({ kind }) => kind === 'example')

    const expected = offlineJoin(
      events.filter((event): event is Event => event !== null),
      options,
    )
    expect(expected.length).toBeGreaterThan(50)
    expect(examples.map(textOf).sort()).toEqual(expected.map(textOf).sort())
  })
})

/** Reads the whole log and returns what was committed as sent. */
function readWithCrashes(
  stage: Stage<JoinerState>,
  options: JoinerOptions,
  records: readonly SourceRecord[],
  random: SeededRandom,
): SinkRecord[] {
  const sent: SinkRecord[] = []
  let state = stage.init()
  let at = 0
  while (at < records.length) {
    const to = Math.min(records.length, at + random.between(1, 30))
    sent.push(...feed(stage, state, records.slice(at, to)))
    at = to
    expect(openCount(state)).toBeLessThanOrEqual(options.openImpressionsMax)
    const nextOffset = records[at - 1]!.offset + 1
    const metadata = commitMetadata(state, nextOffset)
    expect(Buffer.byteLength(metadata)).toBeLessThan(4096)
    if (random.chance(0.5)) continue

    const committed = serialiseState(state)
    // It goes on for a while, and that is lost.
    feed(stage, state, records.slice(at, at + random.between(0, 30)))
    state = rebuild(stage, records, metadata, nextOffset, random)
    expect(serialiseState(state).toString()).toBe(committed.toString())
  }
  return sent
}

function rebuild(
  stage: Stage<JoinerState>,
  records: readonly SourceRecord[],
  text: string,
  nextOffset: number,
  random: SeededRandom,
): JoinerState {
  const metadata = parseCommitMetadata(text)
  if (metadata.overstayed.length > 0) seen.add('a request restored from the metadata')
  const state = initAt(metadata)
  const replayed = records.filter(
    ({ offset }) => offset >= metadata.lowWater && offset < nextOffset,
  )
  for (let at = 0; at < replayed.length;) {
    const to = at + random.between(1, 50)
    feed(stage, state, replayed.slice(at, to))
    at = to
  }
  endRebuild(state, metadata)
  return state
}

/** Values are views of a fetch response that is gone afterwards. */
function feed(
  stage: Stage<JoinerState>,
  state: JoinerState,
  records: readonly SourceRecord[],
): readonly SinkRecord[] {
  const views = records.map((record) => ({
    ...record,
    key: record.key && Buffer.from(record.key),
    value: record.value && Buffer.from(record.value),
  }))
  const outputs = stage.onBatch(state, views)
  for (const { key, value } of views) {
    key?.fill(0)
    value?.fill(0)
  }
  return outputs
}

function note({ deadLetters, ...counts }: JoinerCounters): void {
  for (const [name, count] of [...Object.entries(counts), ...Object.entries(deadLetters)]) {
    if (count > 0) seen.add(name)
  }
}

function bytesOf(records: readonly SinkRecord[]): Buffer {
  return Buffer.from(
    records
      .map(({ topic, partition, key, value, timestampMs }) =>
        JSON.stringify([topic, partition, key, value?.toString('base64'), timestampMs]),
      )
      .join('\n'),
  )
}

function textOf(value: object): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    inner instanceof Map ? [...(inner as Map<string, unknown>)] : inner,
  )
}
