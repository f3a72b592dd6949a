import { expect, test } from 'vitest'
import { defaultGeneratorOptions } from '../../../../src/streams/generator/options.ts'
import { openSlot, type Slot } from '../../../../src/streams/generator/slot.ts'

test.for([
  ['births are rarer than slots', { items: 40, slotMs: 10_000 }],
  ['many are born in each slot', { items: 300, slotMs: 20 * 60_000 }],
  ['slots outlast items', { items: 40, slotMs: 7 * 3_600_000 }],
] as const)('a slot that follows from the one before is the one opened alone: %s', ([, world]) => {
  const options = { ...defaultGeneratorOptions, lifetimeMs: 2 * 3_600_000, ...world }
  const first = Math.floor(Date.UTC(2026, 0, 5) / options.slotMs)
  let before: Slot | undefined
  const sizes = new Set<number>()
  for (let index = first; index < first + 200; index++) {
    const slot = openSlot(options, index, before)
    const alone = openSlot(options, index)
    expect(slot.items).toEqual(alone.items)
    expect(slot.clusters).toEqual(alone.clusters)
    expect(slot.popularity).toEqual(alone.popularity)
    sizes.add(slot.items.length)
    before = slot
  }
  expect(sizes.size).toBeGreaterThan(2)
})
