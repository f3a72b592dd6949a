import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Override, OverrideSetEnd } from '../../../src/records/types.ts'
import { OverrideSets } from '../../../src/streams/override-sets.ts'

function override(sequence: number, itemId: string, generation = 'g1'): Override {
  const vector = Float32Array.of(sequence, 0)
  return { kind: 'override', generation, sequence, itemId, vector, eventTimeMs: sequence }
}

function setEnd(sequence: number, count: number, generation = 'g1'): OverrideSetEnd {
  return { kind: 'set-end', generation, sequence, count, eventTimeMs: sequence }
}

function itemsOf(applied: { readonly overrides: readonly Override[] } | null): string[] {
  return applied?.overrides.map(({ itemId, sequence }) => `${itemId}${sequence}`) ?? []
}

test('a set stays invisible until its end, then goes out whole', () => {
  const sets = new OverrideSets('g1')
  expect(sets.add(override(1, 'a'))).toBeNull()
  expect(sets.add(override(1, 'b'))).toBeNull()
  expect(sets.pending).toBe(2)
  const applied = sets.add(setEnd(1, 2))
  expect(applied?.sequence).toBe(1)
  expect(itemsOf(applied)).toEqual(['a1', 'b1'])
  expect(sets.pending).toBe(0)
  expect(itemsOf(sets.add(setEnd(2, 0)))).toEqual([])
})

test('an end that announces more than came closes nothing; the next whole set takes it along', () => {
  const sets = new OverrideSets('g1')
  sets.add(override(1, 'a'))
  expect(sets.add(setEnd(1, 2))).toBeNull()
  sets.add(override(2, 'b'))
  expect(itemsOf(sets.add(setEnd(2, 1)))).toEqual(['a1', 'b2'])
})

test('an empty set still moves the sequence', () => {
  expect(new OverrideSets('g1').add(setEnd(9, 0))).toEqual({ sequence: 9, overrides: [] })
})

test('other generations neither show nor count', () => {
  const sets = new OverrideSets('g1')
  sets.add(override(1, 'a', 'g2'))
  expect(sets.add(setEnd(1, 1, 'g2'))).toBeNull()
  sets.add(override(1, 'b'))
  expect(itemsOf(sets.add(setEnd(1, 1)))).toEqual(['b1'])
})

test('a compacted log ends in the same vectors as the whole one', () => {
  const set = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { minLength: 0 })
  const log = fc.array(set, { minLength: 1, maxLength: 12 })
  fc.assert(
    fc.property(log, fc.nat(), (items, cleanedSeed) => {
      const records = items.flatMap((ids, i) => [
        ...ids.map((id) => override(i + 1, id)),
        setEnd(i + 1, ids.length),
      ])
      const compacted = compact(records, cleanedSeed % (records.length + 1))
      expect(fold(compacted)).toEqual(fold(records))
    }),
    { numRuns: 500 },
  )
})

/** What the log cleaner leaves when it has seen the keys of the first `cleaned` records. */
function compact(
  records: readonly (Override | OverrideSetEnd)[],
  cleaned: number,
): readonly (Override | OverrideSetEnd)[] {
  const newest = new Map<string, number>()
  records.slice(0, cleaned).forEach((record, i) => newest.set(keyOf(record), i))
  return records.filter((record, i) => i >= cleaned || newest.get(keyOf(record)) === i)
}

function keyOf(record: Override | OverrideSetEnd): string {
  return record.kind === 'override' ? `${record.generation}/${record.itemId}` : record.generation
}

function fold(records: readonly (Override | OverrideSetEnd)[]): unknown {
  const sets = new OverrideSets('g1')
  const vectors = new Map<string, number>()
  let sequence = 0
  for (const record of records) {
    const applied = sets.add(record)
    if (applied === null) continue
    sequence = applied.sequence
    for (const { itemId, sequence: at } of applied.overrides) vectors.set(itemId, at)
  }
  return { sequence, vectors, pending: sets.pending }
}
