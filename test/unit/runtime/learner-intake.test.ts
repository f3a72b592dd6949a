import { expect, test } from 'vitest'
import { LearnerIntake } from '../../../src/runtime/learner-intake.ts'
import type { Batch } from '../../../src/runtime/ports.ts'

function intake(waitingMax = 100) {
  const calls: string[] = []
  const queue = new LearnerIntake({
    pieceMax: () => 3,
    waitingMax,
    aheadMs: 25,
    timeOf: ({ timestampMs }) => timestampMs,
    pause: ({ partition }) => calls.push(`pause ${partition}`),
    resume: ({ partition }) => calls.push(`resume ${partition}`),
  })
  return { queue, calls }
}

/** Records of a time that is ten times their offset, or at `atMs`. */
function batch(partition: number, offsets: readonly number[], atMs?: number): Batch {
  const records = offsets.map((offset) => ({
    ...{ topic: 't', partition, offset, timestampMs: atMs ?? offset * 10, key: null, value: null },
  }))
  return { topic: 't', partition, highWatermark: 100, records }
}

const ranges = (queue: LearnerIntake) => {
  const found: [number, number, number, number[]][] = []
  for (let piece = queue.take(); piece !== null; piece = queue.take()) {
    const { partition, from, to, records } = piece
    found.push([partition, from, to, records.map(({ offset }) => offset)])
  }
  return found
}

test('pieces follow each other without a gap, in order, and between partitions by time', () => {
  const { queue } = intake()
  queue.startAt({ topic: 't', partition: 0 }, 5)
  queue.add(batch(0, [6, 7, 8, 9, 12]))
  queue.add(batch(1, [3], 65))
  queue.add(batch(0, [13]))
  expect(ranges(queue)).toEqual([
    [0, 5, 9, [6, 7, 8]],
    [1, 3, 4, [3]],
    [0, 9, 10, [9]],
    [0, 10, 14, [12, 13]],
  ])
})

test('a partition runs neither ahead of what is older elsewhere, nor through days at once', () => {
  const { queue } = intake()
  queue.add(batch(0, [1, 2, 90]))
  queue.add(batch(1, [50, 51]))
  expect(ranges(queue)).toEqual([
    [0, 1, 3, [1, 2]],
    [1, 50, 52, [50, 51]],
    [0, 3, 91, [90]],
  ])
})

test('what is delivered twice counts as repeated and is taken once', () => {
  const { queue } = intake()
  queue.startAt({ topic: 't', partition: 0 }, 5)
  expect(queue.add(batch(0, [3, 4, 5]))).toBe(2)
  expect(queue.add(batch(0, [5, 6]))).toBe(1)
  expect(ranges(queue)).toEqual([[0, 5, 7, [5, 6]]])
  expect(queue.add(batch(0, [5, 6]))).toBe(2)
  expect(ranges(queue)).toEqual([])
})

test('a partition that fills up is paused, and resumed when half is taken', () => {
  const { queue, calls } = intake(4)
  queue.add(batch(0, [0, 1, 2, 3]))
  expect(calls).toEqual([])
  queue.add(batch(0, [4, 5]))
  queue.add(batch(0, [6]))
  expect(calls).toEqual(['pause 0'])
  queue.take()
  expect(calls).toEqual(['pause 0'])
  queue.take()
  expect(calls).toEqual(['pause 0', 'resume 0'])
})

test('a wait ends with the first record', async () => {
  const { queue } = intake()
  const waiting = queue.waitForRecords(60_000)
  queue.add(batch(0, [0]))
  await waiting
  expect(queue.take()).not.toBeNull()
  expect(queue.lags()).toEqual([{ topic: 't', partition: 0, lag: 99 }])
})
