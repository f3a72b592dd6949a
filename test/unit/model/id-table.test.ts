import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { IdTable } from '../../../src/model/id-table.ts'

const hashes = {
  'the real hash': undefined,
  'every id collides': () => 5,
  'few hashes, with equal low bits': (id: string) => (id.length % 3) << 20,
} as const

describe.each(Object.entries(hashes))('with %s', (_, hash) => {
  test('behaves like a map under random inserts and releases', () => {
    const id = fc.string({ unit: 'binary', maxLength: 6 })
    const steps = fc.array(fc.record({ id, isRelease: fc.boolean() }), { maxLength: 60 })
    fc.assert(
      fc.property(steps, (actions) => {
        const table = new IdTable(hash)
        const model = new Map<string, number>()
        for (const action of actions) {
          const known = model.get(action.id)
          expect(table.find(action.id)).toBe(known ?? 0)
          if (known === undefined) model.set(action.id, table.insert(action.id))
          else if (action.isRelease) {
            table.release(known)
            model.delete(action.id)
          }
        }
        expect(table.size).toBe(model.size)
        expect(new Set(model.values()).size).toBe(model.size)
        for (const [text, slot] of model) {
          expect(table.find(text)).toBe(slot)
          expect(table.idOf(slot)).toBe(text)
        }
      }),
      { seed: 1, numRuns: 60 },
    )
  })

  test('a restored table gives out the same slots', () => {
    const table = new IdTable(hash)
    for (let i = 0; i < 40; i++) table.insert(`id${i}`)
    for (const i of [3, 30, 17]) table.release(table.find(`id${i}`))
    const restored = IdTable.restore(table.snapshot(), hash)
    for (let i = 0; i < 40; i++) expect(restored.find(`id${i}`)).toBe(table.find(`id${i}`))
    for (let i = 0; i < 6; i++) expect(restored.insert(`new${i}`)).toBe(table.insert(`new${i}`))
  })
})

test('ids that share a prefix, are empty, or hold any kind of character are told apart', () => {
  const ids = [
    '',
    'a',
    'ab',
    'a\0',
    '\u00e9',
    'e\u0301',
    '漢',
    '漢字',
    '😀',
    '\ud83d',
    'x'.repeat(2_000_000),
  ]
  const table = new IdTable(() => 1)
  const slots = ids.map((id) => table.insert(id))
  expect(ids.map((id) => table.find(id))).toEqual(slots)
  expect(slots.map((slot) => table.idOf(slot))).toEqual(ids)
  expect(table.find('漢字x')).toBe(0)
})

test('bytes of released ids are used again', () => {
  const table = new IdTable()
  const long = 'y'.repeat(50_000)
  for (let i = 0; i < 200; i++) {
    const slot = table.insert(`${long}${i}`)
    expect(table.find(`${long}${i}`)).toBe(slot)
    if (i >= 3) table.release(table.find(`${long}${i - 3}`))
  }
  expect([197, 198, 199].map((i) => table.find(`${long}${i}`) > 0)).toEqual([true, true, true])
  expect(table.slotCount).toBeLessThan(8)
})
