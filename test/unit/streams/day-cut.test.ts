import { expect, test } from 'vitest'
import { beginOf, DayFold, dayName, dayNamed, dayOf } from '../../../src/streams/day-cut.ts'
import type { DecidedCut } from '../../../src/streams/day-cut.ts'
import { seededRandom, simulationSeeds } from '../../support/seeded-random.ts'
import type { SeededRandom } from '../../support/seeded-random.ts'

const never = (): boolean => false
const always = (): boolean => true

/** A fold over partitions that nothing is known of, from offset 0. */
function newFold(partitions: number): DayFold {
  return new DayFold(
    Array.from({ length: partitions }, () => ({ offset: 0, starts: [] })),
    [],
  )
}

test('days are days in UTC, and have names', () => {
  expect(dayOf(Date.parse('2024-02-29T23:59:59.999Z'))).toBe(dayNamed('2024-02-29'))
  expect(dayOf(Date.parse('2024-03-01T00:00:00Z'))).toBe(dayNamed('2024-02-29') + 1)
  expect(dayName(dayNamed('2024-02-29') + 1)).toBe('2024-03-01')
  expect(beginOf(dayNamed('2024-03-01'))).toBe(Date.parse('2024-03-01T00:00:00Z'))
})

test('what has no day: times before 1970, beyond 9999, and no times', () => {
  expect([-1, 253_402_300_800_000, 2 ** 53, NaN].map(dayOf)).toEqual([null, null, null, null])
  expect(dayName(dayOf(253_402_300_799_999)!)).toBe('9999-12-31')
})

test('a day ends with the first record that reaches its end, and what is older then belongs to the next', () => {
  const fold = newFold(1)
  expect([5, 5, 6, 5, 6].map((day, offset) => fold.add(0, offset, day))).toEqual([5, 5, 6, 6, 6])
  expect(fold.cut(never)).toEqual({ day: 5, offsets: [2] })
})

test('a partition that jumps over days ends them all where it jumps', () => {
  const fold = newFold(2)
  const days: (DecidedCut | null)[] = []
  for (const [offset, day] of [1, 4].entries()) fold.add(0, offset, day)
  for (const [offset, day] of [2, 3, 5].entries()) fold.add(1, offset, day)
  for (let cut = fold.cut(never); cut !== null; cut = fold.cut(never)) {
    days.push(cut)
    expect(fold.decide(cut)).toBe(true)
  }
  expect(days).toEqual([
    { day: 1, offsets: [1, 0] },
    { day: 2, offsets: [1, 1] },
    { day: 3, offsets: [1, 2] },
  ])
})

test('a partition keeps the day open until it has passed its end, or is idle when another has', () => {
  const fold = newFold(3)
  fold.add(0, 0, 7)
  fold.add(1, 0, 7)
  expect(fold.waiting).toBeNull()
  expect(fold.cut(always)).toBeNull()
  fold.add(0, 1, 8)
  expect(fold.waiting).toEqual({ day: 7, partitions: [1, 2] })
  expect(fold.cut((partition) => partition === 2)).toBeNull()
  expect(fold.cut(always)).toEqual({ day: 7, offsets: [1, 1, 0] })
})

test('records of an idle partition that come after the cut belong to the day that is open then', () => {
  const fold = newFold(2)
  fold.add(0, 0, 7)
  fold.add(1, 0, 7)
  fold.add(0, 1, 8)
  expect(fold.decide(fold.cut(always)!)).toBe(true)
  expect(fold.openDay(1)).toBe(8)
  expect(fold.add(1, 1, 7)).toBe(8)
  fold.add(0, 2, 9)
  fold.add(1, 2, 9)
  expect(fold.cut(never)).toEqual({ day: 8, offsets: [2, 2] })
})

test('a decided cut wins over what the records say', () => {
  const start = { offset: 0, starts: [] }
  const fold = new DayFold([start], [{ day: 7, offsets: [2] }])
  expect(fold.decidedEnd(0)).toBe(2)
  expect([7, 9, 7, 9].map((day, offset) => fold.add(0, offset, day))).toEqual([7, 7, 8, 9])
  expect(fold.decidedEnd(0)).toBeNull()
  expect(fold.cut(never)).toEqual({ day: 8, offsets: [3] })
})

test('one that has not come as far as is decided has records to come, and is not idle', () => {
  const start = { offset: 0, starts: [] }
  const fold = new DayFold([start, start], [{ day: 7, offsets: [0, 3] }])
  fold.add(0, 0, 9)
  expect(fold.cut(always)).toBeNull()
  fold.advance(1, 3)
  expect(fold.cut(always)).toEqual({ day: 8, offsets: [0, 3] })
})

test('a decision that contradicts what records were said to belong to is refused', () => {
  const read = (): DayFold => {
    const fold = newFold(1)
    for (const [offset, day] of [3, 3, 4].entries()) fold.add(0, offset, day)
    return fold
  }
  expect(read().decide({ day: 3, offsets: [2] })).toBe(true)
  expect(read().decide({ day: 3, offsets: [1] })).toBe(false)
  expect(read().decide({ day: 3, offsets: [3] })).toBe(false)
  expect(read().decide({ day: 3, offsets: [] })).toBe(false)
  expect(read().decide({ day: 4, offsets: [3] })).toBe(false)
  const open = newFold(1)
  open.add(0, 0, 3)
  expect(open.decide({ day: 3, offsets: [0] })).toBe(false)
  expect(open.decide({ day: 3, offsets: [5] })).toBe(true)
  expect([3, 9, 9, 9, 3].map((day, i) => open.add(0, i + 1, day))).toEqual([3, 3, 3, 3, 4])
})

/** Null: no event time. */
type Log = readonly { readonly offset: number; readonly day: number | null }[]

/** Disorder, days left out, gaps between offsets, partitions that end early or never begin. */
function randomLogs(random: SeededRandom): Log[] {
  return Array.from({ length: random.between(1, 4) }, () => {
    const log: { offset: number; day: number | null }[] = []
    let offset = random.between(0, 5)
    let day = 100 + random.between(0, 2)
    const count = random.chance(0.15) ? 0 : random.between(1, 80)
    for (let i = 0; i < count; i++) {
      if (random.chance(0.12)) day += random.chance(0.2) ? random.between(2, 5) : 1
      const late = random.chance(0.1) ? random.between(1, 3) : 0
      log.push({ offset, day: random.chance(0.03) ? null : day - late })
      offset += random.chance(0.1) ? random.between(2, 4) : 1
    }
    return log
  })
}

interface Outcome {
  readonly cuts: DecidedCut[]
  /** By partition and offset. */
  readonly days: Map<string, number | null>
}

/** Feeds the logs in random pieces; each cut is decided at some later moment, as the control document would. */
function run(logs: readonly Log[], random: SeededRandom, isRestarted: boolean): Outcome {
  const cuts: DecidedCut[] = []
  const days = new Map<string, number | null>()
  const lows = logs.map((log) => log[0]?.offset ?? 0)
  const newStart = (offset: number) => ({ offset, starts: [] })
  let fold = new DayFold(lows.map(newStart), [])
  const next = logs.map(() => 0)
  const isLeft = (p: number): boolean => next[p]! < logs[p]!.length
  for (;;) {
    const left = [...logs.keys()].filter(isLeft)
    if (left.length > 0) {
      const partition = random.pick(left)
      for (let n = random.between(1, 20); n > 0 && isLeft(partition); n--) {
        const { offset, day } = logs[partition]![next[partition]!++]!
        days.set(`${partition}/${offset}`, fold.add(partition, offset, day))
      }
    }
    // At its end a partition is idle, but only when nothing is left anywhere: which it is decides content, so it must not be chance.
    const cut = fold.cut(() => left.length === 0)
    if (cut === null && left.length === 0) return { cuts, days }
    if (cut === null || random.chance(0.3)) continue
    cuts.push(cut)
    expect(fold.decide(cut)).toBe(true)
    if (isRestarted && random.chance(0.3)) fold = restarted(logs, cuts, days, next, random)
  }
}

/** As after a crash: some records are archived with their days, the rest is read again. */
function restarted(
  logs: readonly Log[],
  cuts: readonly DecidedCut[],
  days: ReadonlyMap<string, number | null>,
  next: number[],
  random: SeededRandom,
): DayFold {
  const decided = cuts.at(-1)!.day
  const starts = logs.map((log, partition) => {
    next[partition] = random.between(random.pick([0, next[partition]!]), next[partition]!)
    const begins = new Map<number, number>()
    for (const { offset } of log.slice(0, next[partition])) {
      const day = days.get(`${partition}/${offset}`)
      if (typeof day === 'number' && day > decided && !begins.has(day)) begins.set(day, offset)
    }
    const last = log[next[partition] - 1]
    return {
      offset: last === undefined ? (log[0]?.offset ?? 0) : last.offset + 1,
      starts: [...begins].map(([day, offset]) => ({ day, offset })),
    }
  })
  return new DayFold(starts, cuts)
}

/** Every record is in exactly one day, and that is the one whose range it is in. */
function expectPartition(logs: readonly Log[], { cuts, days }: Outcome): void {
  for (const [partition, log] of logs.entries()) {
    for (const { offset } of log) {
      const day = days.get(`${partition}/${offset}`)
      const byCuts = cuts.find(({ offsets }) => offset < offsets[partition]!)?.day
      if (byCuts !== undefined && day !== null) expect(day).toBe(byCuts)
      if (byCuts === undefined && typeof day === 'number') {
        expect(day).toBeGreaterThan(cuts.at(-1)?.day ?? -1)
      }
    }
    const ends = cuts.map(({ offsets }) => offsets[partition]!)
    expect(ends).toEqual([...ends].sort((a, b) => a - b))
  }
  const order = cuts.map(({ day }) => day)
  expect(order).toEqual(order.map((_, i) => order[0]! + i))
}

test('however the logs are cut into batches, and wherever the fold begins anew, the days are the same', () => {
  let daysCut = 0
  for (const seed of simulationSeeds(300)) {
    const logs = randomLogs(seededRandom(seed))
    const expected = run(logs, seededRandom(seed + 1_000), false)
    expectPartition(logs, expected)
    daysCut += expected.cuts.length
    for (const [other, isRestarted] of [
      [2_000, false],
      [3_000, true],
    ] as const) {
      const outcome = run(logs, seededRandom(seed + other), isRestarted)
      expect(outcome, `SIM_SEED=${seed}`).toEqual(expected)
    }
  }
  expect(daysCut).toBeGreaterThan(300)
})

test('what the log begins with of days that are known from elsewhere belongs to no day', () => {
  const fold = new DayFold(
    [0, 0].map(() => ({ offset: 0, starts: [] })),
    [],
    6,
  )
  const added = [4, 5, null, 6, 5, 7].map((day, offset) => fold.add(0, offset, day))
  expect(added).toEqual([null, null, null, 6, 6, 7])
  expect([5, 7].map((day, offset) => fold.add(1, offset, day))).toEqual([null, 7])
  expect(fold.cut(never)).toEqual({ day: 6, offsets: [5, 1] })
})
