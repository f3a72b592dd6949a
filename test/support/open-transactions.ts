import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../../src/config/schema.ts'
import { Connection } from '../../src/runtime/kafka/connection.ts'
import { listOffsets } from '../../src/runtime/kafka/offsets.ts'
import { silentLog } from './own-servers.ts'

const looks = 4
const betweenMs = 40

/** Whether a transaction on a topic has been left open by somebody who does not go on with it. */
export interface TransactionWatch {
  isOneStuck(): Promise<boolean>
  close(): void
}

/** The end of what is committed stands still below the end of what is written: a living producer would move it on. */
export async function watchTransactions(
  config: Config['kafka'],
  topic: string,
): Promise<TransactionWatch> {
  const connection = new Connection({ config, log: silentLog, presence: { take: () => undefined } })
  await connection.open([topic])
  const partitions = connection.partitionsOf(topic).map(({ partitionId }) => partitionId)
  const openAt = async (): Promise<(number | null)[]> => {
    const stable = await listOffsets(connection, topic, partitions, 'stable')
    const latest = await listOffsets(connection, topic, partitions, 'latest')
    return stable.map((offset, i) => (offset < latest[i]! ? offset : null))
  }
  return {
    isOneStuck: async () => {
      let stuck = await openAt()
      for (let look = 1; look < looks && stuck.some((at) => at !== null); look++) {
        await sleep(betweenMs)
        const now = await openAt()
        stuck = stuck.map((at, i) => (at === now[i] ? at : null))
      }
      return stuck.some((at) => at !== null)
    },
    close: () => connection.close(),
  }
}
