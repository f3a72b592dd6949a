/**
 * Goal: a click changes its user's recall within 1 s, a new item can be recalled within 5 s, each at the 99th percentile.
 * Method: `node bench/run.js end-to-end --trials 200` starts a Kafka, a Redis and every role as a process, lets the generated
 * world send 1,000 events/s, and beside it times clicks and items that a plain Kafka client sends, one after the other: from
 * the send until a recall reply shows it. One line of JSON; ends with 1 when a goal is missed.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { liveSystem } from '../test/support/live-system.ts'
import { ownBroker, ownRedis } from '../test/support/own-servers.ts'
import { clickTrial, itemTrial } from '../test/support/trials.ts'

const { values } = parseArgs({
  options: {
    trials: { type: 'string', default: '200' },
    rate: { type: 'string', default: '1000' },
    warm: { type: 'string', default: '30' },
  },
})
const goals = { clickP99Ms: 1_000, itemP99Ms: 5_000 }
const users = 50

// So that processes and servers end with this one.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const cleanUps: (() => Promise<void>)[] = []
const onEnd = (cleanUp: () => Promise<void>) => void cleanUps.push(cleanUp)
try {
  const broker = await ownBroker(onEnd)
  const redis = await ownRedis(onEnd)
  const system = await liveSystem(onEnd, {
    ...{ brokers: [broker.address], redisUrl: redis.address },
    eventsPerSecond: Number(values.rate),
    settings: { recall: {} },
  })
  // The clicks of the first pages come seconds later: until then there are fewer events than the rate says.
  await sleep(Number(values.warm) * 1_000)
  const sentBefore = sentOf(system.progress())
  const startedMs = performance.now()
  const trials = Array.from({ length: Number(values.trials) }, (_, i) => i)
  const [clicks, items] = await Promise.all([
    eachInTurn(trials, (i) => clickTrial(system, `outside-${i % users}`, `click-${i}`)),
    eachInTurn(trials, (i) => itemTrial(system, `outside-${i % users}`, `item-${i}`)),
  ])
  const seconds = (performance.now() - startedMs) / 1_000
  const result = {
    trials: trials.length,
    eventsPerSecond: Math.round((sentOf(system.progress()) - sentBefore) / seconds),
    behindMs: Math.round(system.progress()!.behindMs),
    click: quantilesOf(clicks),
    item: quantilesOf(items),
    seconds: Math.round(seconds),
  }
  console.log(JSON.stringify(result))
  const isMet = result.click.p99Ms <= goals.clickP99Ms && result.item.p99Ms <= goals.itemP99Ms
  process.exitCode = isMet ? 0 : 1
} finally {
  for (const cleanUp of cleanUps.reverse()) await cleanUp()
}

async function eachInTurn(
  trials: readonly number[],
  run: (trial: number) => Promise<number>,
): Promise<number[]> {
  const took: number[] = []
  for (const trial of trials) took.push(await run(trial))
  return took
}

function sentOf(progress: { impressions: number; clicks: number } | null): number {
  return (progress?.impressions ?? 0) + (progress?.clicks ?? 0)
}

function quantilesOf(values: readonly number[]) {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => Math.round(sorted[Math.ceil(share * sorted.length) - 1]!)
  return { p50Ms: at(0.5), p90Ms: at(0.9), p99Ms: at(0.99), maxMs: at(1) }
}
