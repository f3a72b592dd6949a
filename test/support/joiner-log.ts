import { encodeEvent } from '../../src/records/codec.ts'
import type { Click, Event, Impression } from '../../src/records/types.ts'
import type { SourceRecord } from '../../src/streams/stage.ts'
import type { SeededRandom } from './seeded-random.ts'

export interface LogOptions {
  readonly requests: number
  readonly windowMs: number
  readonly graceMs: number
  /** Records come so much late, in event time, at most; beyond graceMs the log is out of order. */
  readonly disorderMs: number
  /** Clicks carry a time so much earlier than their page, at most, where they are to count. */
  readonly skewMs: number
  /** Also: ids reused over the whole log, values that are no records, offsets left out. */
  readonly isWild: boolean
}

/** A partition's log: `events[i]` is what `records[i]` holds, null for what cannot be decoded. */
export interface JoinerLog {
  readonly events: readonly (Event | null)[]
  readonly records: readonly SourceRecord[]
}

/** One of them too long for commit metadata. */
const reusedIds = ['', 'undefined', 'x'.repeat(90)]

/** Pages and clicks with everything that happens to them on the way: disorder, repeats, conflicts, wrong users and items. */
export function joinerLog(random: SeededRandom, options: LogOptions): JoinerLog {
  const arrivals: { event: Event | null; atMs: number }[] = []
  let nowMs = 1_000_000
  for (let i = 0; i < options.requests; i++) {
    nowMs += random.between(0, random.chance(0.02) ? 4 * options.windowMs : options.windowMs / 8)
    const events: (Event | null)[] = [...request(random, options, nowMs, i)]
    if (random.chance(0.1)) events.push({ kind: 'heartbeat', eventTimeMs: nowMs })
    if (options.isWild && random.chance(0.05)) events.push(null)
    for (const event of events) {
      const atMs = (event?.eventTimeMs ?? nowMs) + random.next() * options.disorderMs
      arrivals.push({ event, atMs })
      if (random.chance(0.1)) {
        arrivals.push({ event, atMs: atMs + random.next() * (options.isWild ? 1_000 : 0) })
      }
    }
  }
  arrivals.sort((a, b) => a.atMs - b.atMs)
  let offset = random.between(0, 3)
  const records = arrivals.map(({ event, atMs }): SourceRecord => {
    offset += options.isWild && random.chance(0.1) ? random.between(1, 5) : 1
    return {
      topic: 'test.events',
      partition: 3,
      offset,
      timestampMs: Math.floor(atMs) + random.between(0, 50),
      key: event === null || event.kind === 'heartbeat' ? null : Buffer.from(event.userId),
      value: event === null ? random.pick([null, Buffer.from('no record')]) : encodeEvent(event),
    }
  })
  return { events: arrivals.map(({ event }) => event), records }
}

function request(random: SeededRandom, options: LogOptions, nowMs: number, i: number): Event[] {
  const isReused = options.isWild && random.chance(0.3)
  const page: Impression = {
    kind: 'impression',
    requestId: isReused ? random.pick(reusedIds) : `r${i}`,
    userId: `u${random.between(0, 9)}`,
    eventTimeMs: nowMs,
    scenario: random.pick(['', 'home']),
    items: Array.from({ length: random.between(1, 5) }, () => `i${random.between(0, 20)}`),
    eliminated: [`e${random.between(0, 20)}`],
    features: {
      categorical: new Map([['device', [random.pick(['phone', 'tv'])]]]),
      numeric: new Map([['age', random.between(18, 80)]]),
      dense: new Map(),
    },
  }
  const events: Event[] = random.chance(0.93) ? [page] : []
  if (random.chance(0.05)) events.push({ ...page, eventTimeMs: nowMs + random.between(0, 300) })
  if (random.chance(0.05)) events.push({ ...page, items: [...page.items, 'other'] })
  for (let clicks = random.between(0, 4); clicks > 0; clicks--)
    events.push(click(random, options, page))
  return events
}

function click(random: SeededRandom, options: LogOptions, page: Impression): Click {
  const { windowMs, graceMs, skewMs } = options
  const afterMs = random.chance(0.9)
    ? random.between(0, windowMs)
    : random.pick([-graceMs - 1, -skewMs, windowMs + 1, windowMs + random.between(1, graceMs)])
  return {
    kind: 'click',
    requestId: page.requestId,
    userId: random.chance(0.95) ? page.userId : 'somebody',
    itemId: random.chance(0.95) ? random.pick(page.items) : 'elsewhere',
    eventTimeMs: page.eventTimeMs + afterMs,
    action: 'click',
    weight: random.between(1, 3),
  }
}
