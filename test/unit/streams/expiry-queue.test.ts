import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ExpiryQueue, type Expiring } from '../../../src/streams/expiry-queue.ts'

type Step = { kind: 'add' | 'postpone' | 'remove' | 'take'; a: number; b: number }

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('add', 'add', 'postpone', 'remove', 'take'),
  a: fc.nat(50),
  b: fc.nat(1_000),
})

test('the first is always the one that a sorted list has first', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 30, maxLength: 300 }), (steps) => {
      const queue = new ExpiryQueue<Expiring>()
      let model: Expiring[] = []
      let offset = 0
      for (const { kind, a, b } of steps) {
        const chosen = kind === 'take' ? model[0] : model[b % model.length]
        if (kind === 'add') {
          const entry = { keepUntilMs: a, firstOffset: offset++, queueIndex: 0 }
          queue.add(entry)
          model.push(entry)
        } else if (chosen !== undefined && kind === 'postpone') {
          chosen.keepUntilMs += a
          queue.postponed(chosen)
        } else if (chosen !== undefined) {
          queue.remove(chosen)
          model = model.filter((entry) => entry !== chosen)
        }
        model.sort((x, y) => x.keepUntilMs - y.keepUntilMs || x.firstOffset - y.firstOffset)
        expect(queue.first).toBe(model[0])
      }
    }),
    { seed: 17 },
  )
})
