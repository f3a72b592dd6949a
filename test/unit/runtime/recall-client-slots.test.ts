import { expect, test } from 'vitest'
import { Slots } from '../../../src/runtime/recall-client-slots.ts'

test('hands places out in order, and passes over who gave up', async () => {
  const slots = new Slots(1)
  const taken: string[] = []
  const take = (name: string, signal = new AbortController().signal) =>
    slots.take(signal).then((release) => (taken.push(name), release))
  const first = await take('first')
  const giving = new AbortController()
  const second = take('second', giving.signal)
  const third = take('third')
  const fourth = take('fourth')
  giving.abort(new Error('gave up'))
  await expect(second).rejects.toThrow('gave up')
  expect(taken).toEqual(['first'])
  first()
  const releaseThird = await third
  expect(taken).toEqual(['first', 'third'])
  releaseThird()
  const releaseFourth = await fourth
  releaseFourth()
  await take('fifth')
  expect(taken).toEqual(['first', 'third', 'fourth', 'fifth'])
})

test('an aborted signal takes no place', async () => {
  const slots = new Slots(1)
  await expect(slots.take(AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late')
  await slots.take(new AbortController().signal)
})
