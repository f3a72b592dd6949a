import type { Config } from '../../config/schema.ts'
import type { GroupConsumer } from '../../runtime/ports.ts'
import type { SinkRecord } from '../../streams/stage.ts'
import { interrupted, withKafka } from '../connect.ts'

const inFlightMax = 10_000

/**
 * Reads topics, over and over, and writes every record to another, with no work between: what the client and the broker
 * allow, and so the limit of every role. Until Ctrl-C or SIGTERM; commits nothing.
 */
export async function runBareLoop(
  config: Config,
  from: readonly string[],
  to: string,
  groupId: string,
): Promise<void> {
  await withKafka(config, async ({ kafka }) => {
    const producer = await kafka.producer()
    const ended = interrupted()
    let failed: (error: unknown) => void = () => undefined
    const failure = new Promise<never>((_, reject) => (failed = reject))
    const paused = new Map<string, { topic: string; partition: number }>()
    let inFlight = 0
    let consumer: GroupConsumer | null = null
    const acknowledged = (count: number): void => {
      inFlight -= count
      if (inFlight > inFlightMax / 2) return
      for (const partition of paused.values()) consumer?.resume(partition)
      paused.clear()
    }
    consumer = await kafka.joinGroup({
      groupId,
      topics: from,
      assignment: 'modulo',
      handler: {
        assigned: () => Promise.resolve(new Map()),
        revoked: () => Promise.resolve(),
        onBatch: ({ topic, partition, records, highWatermark }) => {
          inFlight += records.length
          if (inFlight > inFlightMax) {
            paused.set(`${topic}/${partition}`, { topic, partition })
            consumer?.pause({ topic, partition })
          }
          const copies = records.map(({ key, value, timestampMs }): SinkRecord => ({
            ...{ topic: to, partition, key, value, timestampMs },
          }))
          // The last offset may be the marker of a transaction.
          const isEnd = records.at(-1)!.offset >= highWatermark - 2
          if (isEnd) consumer?.seek({ topic, partition }, 0)
          producer.send(copies).then(() => acknowledged(copies.length), failed)
          return Promise.resolve()
        },
      },
    })
    await Promise.race([ended, failure])
  })
}
