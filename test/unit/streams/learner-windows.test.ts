import { expect, test } from 'vitest'
import { LearnerWindows } from '../../../src/streams/learner-windows.ts'
import type { SourceRecord } from '../../../src/streams/stage.ts'
import { randomFrom } from '../../support/vectors.ts'

const partitions = 3

/** `timestampMs` stands for the event time, a null key for a heartbeat. */
function setUp(waitingMax = 1_000) {
  const calls: string[] = []
  const windows = new LearnerWindows({
    ...{ partitions, windowMs: 100, waitingMax },
    headOf: ({ timestampMs, key }) => ({ eventTimeMs: timestampMs, isHeartbeat: key === null }),
    pause: (partition) => calls.push(`pause ${partition}`),
    resume: (partition) => calls.push(`resume ${partition}`),
  })
  return { windows, calls }
}

type Event = readonly [timeMs: number, kind?: 'heartbeat']

function log(partition: number, events: readonly Event[], from = 0): SourceRecord[] {
  return events.map(([timestampMs, kind], i) => ({
    ...{ topic: 't', partition, offset: from + i, timestampMs, value: null },
    key: kind === 'heartbeat' ? null : Buffer.from('u'),
  }))
}

/** [end, partition, from, to] of every cut there is by now. */
function cutsOf(windows: LearnerWindows): number[][] {
  const found: number[][] = []
  for (let next = windows.take(null); next !== null; next = windows.take(null)) {
    for (const { partition, from, to } of next.cuts) found.push([next.endMs, partition, from, to])
  }
  return found
}

test('a window is there when every partition has passed it, and holds what comes before the first record behind it', () => {
  const { windows } = setUp()
  windows.add(0, log(0, [[10], [90], [130]]))
  windows.add(1, log(1, [[20], [210], [30]]))
  expect(windows.take(null)).toBeNull()
  windows.add(2, log(2, [[100, 'heartbeat']]))
  // What comes late in partition 1 belongs to the window that its own partition has come to.
  expect(cutsOf(windows)).toEqual([
    [100, 0, 0, 2],
    [100, 1, 0, 1],
    [100, 2, 0, 1],
  ])
  windows.add(2, log(2, [[300, 'heartbeat']], 1))
  windows.add(0, log(0, [[320]], 3))
  expect(cutsOf(windows)).toEqual([
    [200, 0, 2, 3],
    [200, 2, 1, 2],
  ])
  windows.add(1, log(1, [[300, 'heartbeat']], 3))
  expect(cutsOf(windows)).toEqual([[300, 1, 1, 4]])
})

test('windows without examples are passed over, heartbeats or not', () => {
  const { windows } = setUp()
  for (let partition = 0; partition < partitions; partition++) {
    windows.add(partition, log(partition, [[10, 'heartbeat'], [110, 'heartbeat'], [950]]))
    windows.add(partition, log(partition, [[1_000, 'heartbeat']], 3))
  }
  expect(windows.take(null)).toMatchObject({ endMs: 1_000 })
  expect(windows.take(null)).toBeNull()
})

test('a window that was begun is ended where it ends, not where what is left of it would put it', () => {
  const { windows } = setUp()
  windows.startAt(0, { offset: 2, eventTimeMs: 500 })
  windows.startAt(1, { offset: 5, eventTimeMs: 100 })
  windows.startAt(2, { offset: 0, eventTimeMs: 500 })
  windows.add(1, log(1, [[110], [250], [399], [400]], 5))
  const window = windows.take(400)
  expect(window?.endMs).toBe(400)
  expect(window?.cuts.map(({ partition, from, to }) => [partition, from, to])).toEqual([[1, 5, 8]])
})

/** A log with late records, silences and heartbeats that promise, and hold, that nothing older follows. */
function randomLogs(seed: number): SourceRecord[][] {
  const random = randomFrom(seed)
  return Array.from({ length: partitions }, (_, partition) => {
    const events: Event[] = []
    let nowMs = 0
    let promisedMs = 0
    for (let i = 0; i < 120; i++) {
      nowMs += random() < 0.1 ? 300 * random() : 20 * random()
      if (random() < 0.3) events.push([(promisedMs = Math.floor(nowMs)), 'heartbeat'])
      else events.push([Math.max(promisedMs, Math.floor(nowMs - 150 * random()))])
    }
    events.push([100_000, 'heartbeat'])
    return log(partition, events)
  })
}

/** The examples of each window, by partition, whatever was cut and delivered how. */
function windowsOf(logs: SourceRecord[][], seed: number | null, waitingMax = 1_000): string[] {
  const random = randomFrom(seed ?? 1)
  let { windows, calls } = setUp(waitingMax)
  const found: string[] = []
  const sent = logs.map(() => 0)
  const paused = new Set<number>()
  let handled = 0
  const positions = logs.map(() => ({ offset: 0, eventTimeMs: 0 }))
  const note = (partition: number, records: readonly SourceRecord[], to: number) => {
    const reached = records.map(({ timestampMs }) => timestampMs)
    const eventTimeMs = Math.max(positions[partition]!.eventTimeMs, ...reached)
    positions[partition] = { offset: to, eventTimeMs }
  }
  for (let round = 0; sent.some((count, i) => count < logs[i]!.length); round++) {
    expect(round).toBeLessThan(100_000)
    const partition = Math.floor(random() * partitions)
    if (!paused.has(partition)) {
      const count = seed === null ? Infinity : 1 + Math.floor(random() * 9)
      const records = logs[partition]!.slice(sent[partition], sent[partition]! + count)
      windows.add(partition, records)
      sent[partition]! += records.length
    }
    for (; handled < calls.length; handled++) {
      const [what, which] = calls[handled]!.split(' ') as [string, string]
      if (what === 'pause') paused.add(Number(which))
      else paused.delete(Number(which))
    }
    if (seed !== null && random() < 0.3) {
      for (const cut of windows.takeHeartbeats()) note(cut.partition, cut.records, cut.to)
    }
    if (seed !== null && random() < 0.3) continue
    for (let next = windows.take(null); next !== null; next = windows.take(null)) {
      for (const { partition: p, records, to } of next.cuts) {
        const offsets = records.filter(({ key }) => key !== null).map(({ offset }) => offset)
        if (offsets.length > 0) found.push(`${next.endMs} ${p}: ${offsets.join()}`)
        note(p, records, to)
      }
      // A restart between two windows: what waited is read again.
      if (seed !== null && random() < 0.1) {
        ;({ windows, calls } = setUp(waitingMax))
        paused.clear()
        handled = 0
        positions.forEach((position, p) => {
          windows.startAt(p, position)
          sent[p] = position.offset
        })
        break
      }
    }
  }
  for (let next = windows.take(null); next !== null; next = windows.take(null)) {
    for (const { partition, records } of next.cuts) {
      const offsets = records.filter(({ key }) => key !== null).map(({ offset }) => offset)
      if (offsets.length > 0) found.push(`${next.endMs} ${partition}: ${offsets.join()}`)
    }
  }
  return found
}

test.each([1, 2, 3, 4, 5, 6, 7, 8])(
  'windows are the same however the log is delivered, over pauses and restarts (seed %i)',
  (seed) => {
    const logs = randomLogs(seed)
    const whole = windowsOf(logs, null)
    expect(whole.length).toBeGreaterThan(20)
    for (let run = 1; run <= 20; run++) {
      expect(windowsOf(logs, seed * 1_000 + run)).toEqual(whole)
      expect(windowsOf(logs, seed * 1_000 + run, 5)).toEqual(whole)
    }
  },
)

test('heartbeats before, between and behind examples do not change their windows', () => {
  const examples = (logs: SourceRecord[][]) =>
    logs.map((each) => each.filter(({ key }, i) => key !== null || i === each.length - 1))
  for (let seed = 1; seed <= 20; seed++) {
    const logs = randomLogs(seed)
    expect(windowsOf(examples(logs), null)).toEqual(windowsOf(logs, null))
  }
})

test('a partition is held back only when the window does not wait for it', () => {
  const { windows, calls } = setUp(2)
  windows.add(0, log(0, [[10], [20], [30], [40]]))
  expect(calls).toEqual([])
  windows.add(0, log(0, [[150]], 4))
  expect(calls).toEqual(['pause 0'])
  windows.add(1, log(1, [[200, 'heartbeat']]))
  windows.add(2, log(2, [[200, 'heartbeat']]))
  expect(cutsOf(windows)).toHaveLength(3)
  expect(calls).toEqual(['pause 0', 'resume 0'])
})
