import { setTimeout as pause } from 'node:timers/promises'
import { groupName } from '../records/topics.ts'
import { lagOf } from './lag.ts'
import type { LearnedWatch } from './learned-watch.ts'
import type { RoleContext } from './role-context.ts'

const askMs = 250

/**
 * Resolves when everything that is in the source topics has been learnt and published: ingest and joiner have committed the
 * ends of their topics, and the learner then reports twice in a row that it moved no further. What is left in its partitions
 * is the mark that ends a transaction, one each.
 */
export async function waitUntilDrained(
  { kafka, topics, config }: RoleContext,
  learned: LearnedWatch,
  signal: AbortSignal,
): Promise<void> {
  const { topicPrefix, partitions } = config.kafka
  const sources = [
    topics.impressions,
    topics.clicks,
    ...Object.values(config.sources).map((source) => source.topic),
  ]
  const upstreamLag = async (): Promise<number> => {
    const lags = await Promise.all([
      ...sources.map((topic) => lagOf(kafka, groupName(topicPrefix, 'ingest'), topic)),
      lagOf(kafka, groupName(topicPrefix, 'joiner'), topics.events),
    ])
    return lags.reduce((sum, lag) => sum + lag, 0)
  }
  while (!signal.aborted) {
    const before = learned.newest
    if (before !== null && before.lag <= partitions && (await upstreamLag()) === 0) {
      const after = await learned.next(signal)
      if (
        after !== null &&
        after.lag <= partitions &&
        after.counters.examples === before.counters.examples
      )
        return
    } else await pause(askMs, undefined, { signal }).catch(() => undefined)
  }
}
