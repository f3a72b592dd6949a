import { setTimeout as sleep } from 'node:timers/promises'
import { groupName } from '../../src/records/topics.ts'
import { readControl } from '../../src/runtime/control.ts'
import { openOnlineStore } from '../../src/runtime/redis/online-store.ts'
import type { SourceRecord } from '../../src/streams/stage.ts'
import type { Deployment } from './deployment.ts'
import { silentLog } from './own-servers.ts'

const settleWithinMs = 90_000
const visibleWithinMs = 60_000

/** Waits until everything that came in has been ingested, joined, learnt and acknowledged by Redis; says what never was. */
export async function settle(target: Deployment, problems: string[]): Promise<void> {
  const deadlineMs = performance.now() + settleWithinMs
  let left = await lags(target)
  while (left !== '' && performance.now() < deadlineMs) {
    await sleep(100)
    left = await lags(target)
  }
  if (left !== '') problems.push(`not settled within ${settleWithinMs} ms: ${left}`)
  const missing = await waitUntilVisible(target)
  if (missing !== '') problems.push(missing)
}

/** What is not done yet, in words; empty: nothing. */
async function lags({ kafka, topics, config }: Deployment): Promise<string> {
  const { topicPrefix } = config.kafka
  const lagOf = async (role: string, topic: string): Promise<string[]> => {
    const ends = await kafka.offsets(topic)
    const committed = await kafka.committed(groupName(topicPrefix, role), topic)
    return ends.flatMap(({ partition, low, high }) => {
      const lag = high - (committed.get(partition)?.offset ?? low)
      return lag === 0 ? [] : [`${role} ${topic}/${partition}: ${lag}`]
    })
  }
  const found = await Promise.all([
    lagOf('ingest', topics.impressions),
    lagOf('ingest', topics.clicks),
    lagOf('joiner', topics.events),
  ])
  return found.flat().join(', ')
}

/** Waits until Redis says that everything on the examples topic has been learnt. @returns what is missing, empty: nothing */
async function waitUntilVisible({ kafka, topics, config }: Deployment): Promise<string> {
  const id = (await readControl(kafka, topics.control, silentLog))!.live!
  const ends = new Map<number, number>()
  for (const { partition, offset } of await readTopic({ kafka }, topics.examples)) {
    ends.set(partition, offset + 1)
  }
  const store = openOnlineStore(config.redis, silentLog)
  try {
    const deadlineMs = performance.now() + visibleWithinMs
    for (;;) {
      const missing: string[] = []
      for (const [partition, end] of ends) {
        const read = await store.read(id, partition, 'anybody', 5_000).catch(() => null)
        const through = read?.learnedThrough?.offset ?? 0
        if (through < end) missing.push(`examples/${partition}: visible to ${through} of ${end}`)
      }
      if (missing.length === 0 || performance.now() > deadlineMs) return missing.join(', ')
      await sleep(100)
    }
  } finally {
    await store.close()
  }
}

export async function readTopic(
  { kafka }: Pick<Deployment, 'kafka'>,
  topic: string,
): Promise<SourceRecord[]> {
  const records: SourceRecord[] = []
  for (const { partition, low, high } of await kafka.offsets(topic)) {
    await kafka.readRange({ topic, partition }, low, high, (batch) => {
      records.push(...batch.records)
    })
  }
  return records
}
