import { expect, test } from 'vitest'
import { Admission } from '../../../src/model/admission.ts'
import { hash32 } from '../../../src/model/hash.ts'

test('an id is admitted at its n-th sighting', () => {
  const admission = new Admission(3)
  const hash = hash32('item')
  expect([0, 1, 2, 3].map(() => admission.admits(hash))).toEqual([false, false, true, true])
  expect(new Admission(1).admits(hash)).toBe(true)
})

test('ids do not count for each other while there is room', () => {
  const admission = new Admission(2)
  let early = 0
  for (let i = 0; i < 10_000; i++) if (admission.admits(hash32(`id${i}`))) early++
  expect(early).toBeLessThan(10)
})

test('counts fade, so it does not fill up', () => {
  const admission = new Admission(2, 64)
  expect(admission.admits(hash32('old'))).toBe(false)
  for (let i = 0; i < 64; i++) admission.admits(hash32('other'))
  expect(admission.admits(hash32('old'))).toBe(false)
})

test('a restored admission decides the same', () => {
  const admission = new Admission(2, 64)
  for (let i = 0; i < 40; i++) admission.admits(hash32(`id${i}`))
  const restored = new Admission(2, 64)
  restored.restore(structuredClone(admission.snapshot()))
  for (let i = 30; i < 80; i++) {
    expect(restored.admits(hash32(`id${i}`))).toBe(admission.admits(hash32(`id${i}`)))
  }
})
