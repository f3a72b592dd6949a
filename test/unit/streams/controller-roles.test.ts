import { expect, test } from 'vitest'
import { RoleStates } from '../../../src/streams/controller-roles.ts'

const report = (atMs: number, generation = 'g1', instance = 'a') => ({
  ...{ role: 'pod', instance, kind: 'loaded', generation, atMs, body: {} },
})

test('only what changes is news', () => {
  const roles = new RoleStates(100)
  expect(roles.apply(report(0))?.what).toBe('appeared')
  expect(roles.apply(report(50))).toBeNull()
  expect(roles.apply(report(60, 'g2'))?.what).toBe('changed generation')
  expect(roles.apply(report(60, 'g1', 'b'))?.what).toBe('appeared')
  expect(roles.all.map(({ instance, generation }) => [instance, generation])).toEqual([
    ['a', 'g2'],
    ['b', 'g1'],
  ])
})

test('a report that comes late changes nothing', () => {
  const roles = new RoleStates(100)
  roles.apply(report(50, 'g2'))
  expect(roles.apply(report(40, 'g1'))).toBeNull()
  expect(roles.all[0]!.generation).toBe('g2')
})

test('an instance without reports is silent once, is back when it reports, and is forgotten in the end', () => {
  const roles = new RoleStates(100)
  roles.apply(report(0))
  expect(roles.silentAt(99)).toEqual([])
  expect(roles.silentAt(100).map(({ what }) => what)).toEqual(['is silent'])
  expect(roles.silentAt(101)).toEqual([])
  expect(roles.apply(report(200))?.what).toBe('is back')
  roles.silentAt(1_200)
  expect(roles.all).toEqual([])
})
