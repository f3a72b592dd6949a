import { expect, test } from 'vitest'
import { Positions } from '../../../src/runtime/recall-positions.ts'

const p0 = { topic: 'requests', partition: 0 }
const p1 = { topic: 'requests', partition: 1 }

test('commits nothing past a request that is still open, however the others finish', () => {
  const positions = new Positions()
  positions.assign(p0, 10)
  const [first, second, third] = [10, 11, 14].map((offset) => positions.begin(p0, offset))
  third!()
  second!()
  expect(positions.movable()).toEqual([{ ...p0, offset: 10 }])
  first!()
  expect(positions.movable()).toEqual([{ ...p0, offset: 15 }])
})

test('commits where a partition starts, and each move once', () => {
  const positions = new Positions()
  positions.assign(p0, 5)
  positions.assign(p1, 0)
  expect(positions.movable()).toEqual([
    { ...p0, offset: 5 },
    { ...p1, offset: 0 },
  ])
  positions.committed(positions.movable())
  expect(positions.movable()).toEqual([])
  positions.begin(p1, 0)()
  expect(positions.movable()).toEqual([{ ...p1, offset: 1 }])
})

test('forgets a partition that was taken away', () => {
  const positions = new Positions()
  positions.assign(p0, 0)
  const done = positions.begin(p0, 0)
  positions.revoke(p0)
  done()
  positions.begin(p0, 1)()
  expect(positions.movable()).toEqual([])
})
