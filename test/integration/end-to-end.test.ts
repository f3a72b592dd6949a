import { expect, inject, onTestFinished, test } from 'vitest'
import { liveSystem } from '../support/live-system.ts'
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
  const stopped = await Promise.all(Object.values(system.roles).map((role) => role.stop()))
  expect(stopped).toEqual([0, 0, 0, 0, 0])
})
