import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RecentClicks, recentClicksMax } from '../../../src/streams/learner-recent.ts'

test('keeps the last distinct items of each user, newest first', () => {
  const step = fc.record({
    user: fc.integer({ min: 1, max: 3 }),
    item: fc.integer({ min: 0, max: 80 }),
    isClear: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const recent = new RecentClicks()
      const model = new Map<number, string[]>()
      for (const { user, item, isClear } of steps) {
        if (isClear && item === 0) {
          recent.clear(user)
          model.delete(user)
          continue
        }
        const itemId = `item${item}`
        recent.push(user, itemId)
        const others = (model.get(user) ?? []).filter((each) => each !== itemId)
        model.set(user, [itemId, ...others].slice(0, recentClicksMax))
      }
      for (const user of [1, 2, 3, 4]) expect(recent.list(user)).toEqual(model.get(user) ?? [])
    }),
    { seed: 2 },
  )
})
