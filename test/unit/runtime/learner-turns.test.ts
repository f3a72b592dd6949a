import { expect, test } from 'vitest'
import { Turns } from '../../../src/runtime/learner-turns.ts'

/** Asks for turns in this order while another holds it; returns who had theirs when. */
async function orderOf(asking: readonly string[], first: string): Promise<string[]> {
  const turns = new Turns()
  const had: string[] = []
  let end!: () => void
  const holding = turns.take(
    first === 'live',
    () => new Promise<void>((resolve) => (end = resolve)),
  )
  const waiting = asking.map((who) =>
    turns.take(who.startsWith('live'), () => Promise.resolve(had.push(who))),
  )
  end()
  await Promise.all([holding, ...waiting])
  return had
}

test('the live lineage waits for one cut of another at most, and takes no more than every other turn', async () => {
  expect(await orderOf(['a1', 'b1', 'live1', 'a2', 'live2'], 'a')).toEqual([
    ...['live1', 'a1', 'live2', 'b1', 'a2'],
  ])
  expect(await orderOf(['live1', 'live2', 'a1'], 'live')).toEqual(['a1', 'live1', 'live2'])
  expect(await orderOf(['a1', 'b1'], 'a')).toEqual(['a1', 'b1'])
})

test('turns never overlap, and one that fails is passed on', async () => {
  const turns = new Turns()
  let running = 0
  const work = async (fails: boolean) => {
    expect(++running).toBe(1)
    await new Promise((resolve) => setImmediate(resolve))
    running--
    if (fails) throw new Error('no')
  }
  const results = await Promise.allSettled(
    Array.from({ length: 9 }, (_, i) => turns.take(i % 3 === 0, () => work(i % 2 === 0))),
  )
  expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(5)
  await turns.take(false, () => work(false))
})
