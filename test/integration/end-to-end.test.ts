import { expect, inject, onTestFinished, test, vi } from 'vitest'
import { describeExplanation } from '../../src/cli/explain-command.ts'
import { explain } from '../../src/cli/explain.ts'
import { liveSystem, type LiveSystem } from '../support/live-system.ts'
import { silentLog } from '../support/own-servers.ts'
import { clickTrial, itemTrial } from '../support/trials.ts'

// bench/end-to-end.ts makes two hundred trials of each and holds them to the goals. Here the machine may be busy.
const visibleWithinMs = 10_000

test('a click from outside changes the recall of its user, and a new item can be recalled', async () => {
  const system = await liveSystem(onTestFinished, {
    ...{ brokers: inject('kafkaBrokers'), redisUrl: inject('redisUrl'), eventsPerSecond: 200 },
  })
  // Each trial checks the reply itself: the time of the click, other items, the clicked one left out.
  for (let i = 0; i < 6; i++) {
    const user = `outside-${i % 3}`
    expect(await clickTrial(system, user, `click-${i}`)).toBeLessThan(visibleWithinMs)
    expect(await itemTrial(system, user, `item-${i}`)).toBeLessThan(visibleWithinMs)
  }
  await explained(system, 'outside-2')
  const stopped = await Promise.all(Object.values(system.roles).map((role) => role.stop()))
  expect(stopped).toEqual([0, 0, 0, 0, 0])
})

/** `freshet explain` finds what became of each click of the user, and where items stand. */
async function explained({ target, producer, topics }: LiveSystem, user: string): Promise<void> {
  const { kafka, config } = target
  const ask = (item: string) =>
    explain({ kafka, topics, log: silentLog }, config, {
      user,
      item,
      clicks: 5,
      last: 100_000,
      k: 50,
    })
  const elsewhere = {
    ...{ request_id: 'click-5', user_id: user, item_id: 'not-on-the-page' },
    event_time: Date.now(),
  }
  await producer.send({
    topic: topics.clicks,
    messages: [{ key: user, value: JSON.stringify(elsewhere) }],
  })
  let found = await ask('not-on-the-page')
  await vi.waitFor(
    async () => {
      found = await ask('not-on-the-page')
      expect(found.clicks[0]!.fate.kind).toBe('refused')
    },
    { timeout: visibleWithinMs, interval: 200 },
  )
  expect(found.clicks.map(({ click, fate }) => [click.requestId, fate.kind])).toEqual([
    ['click-5', 'refused'],
    ['click-5', 'learnt'],
    ['click-2', 'learnt'],
  ])
  expect(found.item).toMatchObject({ isInCatalogue: false, place: null, standing: null })
  expect(describeExplanation(found, { last: 100_000 }, Date.now())).toContain('nobody knows it')

  const best = found.reply.items[0]!
  const { item } = await ask(best.itemId)
  expect(item).toMatchObject({ isInCatalogue: true, isRecentClick: false })
  // The world goes on between the reply and the look at its vectors.
  const { standing } = item!
  if (standing === null || standing === 'unknown') throw new Error('it has a vector')
  expect(standing.rank).toBeLessThan(50)
}
