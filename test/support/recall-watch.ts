import { setTimeout as sleep } from 'node:timers/promises'
import { RecallClient } from '../../src/runtime/recall-client.ts'
import type { RecallStatus } from '../../src/runtime/recall-client.ts'

export interface Observation {
  readonly atMs: number
  readonly userId: string
  /** 'none': no reply in time, as while no pod runs. */
  readonly status: RecallStatus | 'none'
}

export interface RecallWatch {
  readonly observations: readonly Observation[]
  stop(): Promise<void>
}

const everyMs = 60
const timeoutMs = 1_000

/** Asks for the given users in turn, several times a second, and writes down every status, until it is stopped. */
export async function watchRecall(
  connection: { readonly brokers: readonly string[]; readonly topicPrefix: string },
  userIds: readonly string[],
): Promise<RecallWatch> {
  const client = await RecallClient.connect(connection)
  const ending = new AbortController()
  const observations: Observation[] = []
  const ask = async (userId: string): Promise<void> => {
    const status = await client.recall({ userId, k: 5, timeoutMs, signal: ending.signal }).then(
      (reply) => reply.status,
      () => 'none' as const,
    )
    if (!ending.signal.aborted) observations.push({ atMs: performance.now(), userId, status })
  }
  const running = (async () => {
    for (let i = 0; !ending.signal.aborted; i++) {
      await Promise.all([ask(userIds[i % userIds.length]!), sleep(everyMs)])
    }
  })()
  return {
    observations,
    stop: async () => {
      ending.abort()
      await running
      await client.close()
    },
  }
}
