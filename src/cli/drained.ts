import { setTimeout as pause } from 'node:timers/promises'
import { upstreamLags } from './lag.ts'
import type { ReportWatch } from './report-watch.ts'
import type { RoleContext } from './role-context.ts'

const askMs = 250

/**
 * Resolves when everything that is in the source topics has been learnt and published: ingest and joiner have committed the
 * ends of their topics, and the learner then reports twice in a row that it moved no further. What is left in its partitions
 * is the mark that ends a transaction, one each.
 */
export async function waitUntilDrained(
  { kafka, topics, config }: RoleContext,
  reports: ReportWatch,
  signal: AbortSignal,
): Promise<void> {
  const { partitions } = config.kafka
  const upstreamLag = async (): Promise<number> =>
    (await upstreamLags(kafka, topics, config)).reduce((sum, { records }) => sum + records, 0)
  while (!signal.aborted) {
    const before = reports.learned
    if (before !== null && before.lag <= partitions && (await upstreamLag()) === 0) {
      const after = await reports.nextLearned(signal)
      if (
        after !== null &&
        after.lag <= partitions &&
        after.counters.examples === before.counters.examples
      )
        return
    } else await pause(askMs, undefined, { signal }).catch(() => undefined)
  }
}
