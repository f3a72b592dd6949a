import { expect, onTestFinished, test } from 'vitest'
import { encodeOverride } from '../../../../src/records/codec.ts'
import { Overrides } from '../../../../src/runtime/inspect/overrides.ts'
import type { TailOptions } from '../../../../src/runtime/ports.ts'

function record(generation: string, itemId: string, sequence: number) {
  const vector = Float32Array.of(1)
  const value = encodeOverride({
    ...{ kind: 'override', generation, itemId, sequence, vector, eventTimeMs: 0 },
  })
  return { topic: 'o', partition: 0, offset: sequence, timestampMs: 0, key: null, value }
}

test('a generation that is still written to keeps all it has, however many come beside it', async () => {
  const others = ['g2', 'g3', 'g4', 'g5', 'g6'].flatMap((id, i) => [
    record(id, 'a', 10 + 2 * i),
    record('g1', `item-${i}`, 11 + 2 * i),
  ])
  const records = [record('g1', 'first', 1), ...others]
  const kafka = {
    tail: async ({ onBatch }: TailOptions) => {
      await onBatch({ topic: 'o', partition: 0, highWatermark: 100, records })
      const nothing = () => undefined
      const end = { caughtUp: Promise.resolve(), close: () => Promise.resolve() }
      return { ...end, pause: nothing, resume: nothing }
    },
  }
  const overrides = new Overrides(kafka, 'o')
  onTestFinished(() => overrides.close())
  const items = ['first', 'item-0', 'item-1', 'item-2', 'item-3', 'item-4']
  expect([...(await overrides.of('g1')).keys()]).toEqual(items)
  expect((await overrides.of('g2')).size).toBe(0)
})
