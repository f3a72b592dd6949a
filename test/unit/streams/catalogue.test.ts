import { expect, test } from 'vitest'
import type { Item } from '../../../src/records/types.ts'
import { Catalogue } from '../../../src/streams/catalogue.ts'

function item(itemId: string, categorical: Record<string, string[]> = {}): Item {
  return {
    itemId,
    title: `Title of ${itemId}`,
    createdAtMs: 0,
    features: {
      categorical: new Map(Object.entries(categorical)),
      numeric: new Map(),
      dense: new Map(),
    },
  }
}

function catalogue(...items: readonly Item[]): Catalogue {
  const all = new Catalogue()
  for (const each of items) all.apply(each.itemId, each)
  return all
}

test('knows titles, and nothing of strangers', () => {
  const all = catalogue(item('a'))
  expect(all.titleOf('a')).toBe('Title of a')
  expect(all.titleOf('b')).toBe('')
  expect(all.isWithdrawn('b')).toBe(false)
})

test('has another revision when other items are withdrawn, and only then', () => {
  const all = catalogue(item('a'))
  const revisions = [null, null, item('a'), item('a'), null].map((value) => {
    all.apply('a', value)
    return all.withdrawnRevision
  })
  expect(revisions).toEqual([1, 1, 2, 2, 3])
})

test('finds the items of any of the values, each once', () => {
  const all = catalogue(
    item('a', { genre: ['drama', 'war'] }),
    item('b', { genre: ['war'] }),
    item('c', { genre: ['comedy'], language: ['war'] }),
    item('d'),
  )
  const matching = (feature: string, ...values: string[]) => [...all.matching({ feature, values })]
  expect(matching('genre', 'war', 'drama')).toEqual(['a', 'b'])
  expect(matching('genre', 'comedy')).toEqual(['c'])
  expect(matching('genre', 'opera')).toEqual([])
  expect(matching('__proto__', 'war')).toEqual([])
})

test('a change of values moves the item; a withdrawal takes it out until it comes back', () => {
  const all = catalogue(item('a', { genre: ['drama'] }))
  all.apply('a', item('a', { genre: ['war', 'war'] }))
  expect([...all.matching({ feature: 'genre', values: ['drama'] })]).toEqual([])
  expect([...all.matching({ feature: 'genre', values: ['war'] })]).toEqual(['a'])
  all.apply('a', null)
  expect(all.isWithdrawn('a')).toBe(true)
  expect(all.size).toBe(0)
  expect([...all.matching({ feature: 'genre', values: ['war'] })]).toEqual([])
  expect(all.titleOf('a')).toBe('')
  all.apply('a', item('a', { genre: ['drama'] }))
  expect(all.isWithdrawn('a')).toBe(false)
  expect([...all.matching({ feature: 'genre', values: ['drama'] })]).toEqual(['a'])
})
