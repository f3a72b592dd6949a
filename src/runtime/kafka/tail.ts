import { FreshetError } from '../../errors.ts'
import type { Logger, Tail, TailOptions, TopicPartition } from '../ports.ts'
import { partitionKey } from '../ports.ts'
import type { Connection } from './connection.ts'
import { toFreshetError } from './errors.ts'
import { listOffsets } from './offsets.ts'
import { PartitionReader } from './partition-reader.ts'

/**
 * Reads outside any group. `caughtUp` counts what a reader of committed records could get when the tail was opened: the
 * last stable offset, which also holds for a topic that ends in an aborted transaction.
 */
export async function openTail(
  connection: Connection,
  options: TailOptions,
  log: Logger,
): Promise<Tail> {
  await connection.open(options.topics)
  const starts = new Map<string, TopicPartition & { start: number; end: number }>()
  for (const topic of options.topics) {
    for (const found of await startsOf(connection, topic, options)) {
      starts.set(partitionKey(found), found)
    }
  }

  const behind = new Map([...starts].filter(([, { start, end }]) => start < end))
  const { promise, resolve, reject } = withResolvers()
  // Nobody has to wait for it: closing early must not become an unhandled rejection.
  promise.catch(() => undefined)
  if (behind.size === 0) resolve()

  const reader = new PartitionReader({
    connection,
    log,
    fetch: {
      isReadUncommitted: false,
      maxWaitMs: options.maxWaitMs ?? 50,
      maxBytes: 8_000_000,
      partitionMaxBytes: 1_048_576,
    },
    onBatch: (batch) => options.onBatch(batch),
    onProgress: (progress) => {
      const key = partitionKey(progress)
      if (progress.position < (behind.get(key)?.end ?? Infinity)) return
      behind.delete(key)
      if (behind.size === 0) resolve()
    },
    onFailure: (error) => {
      if (connection.isClosed) return
      log.error({ topics: options.topics, error: String(error) }, 'reading ended')
      const failure = toFreshetError(error, `read ${options.topics.join(', ')}`)
      reject(failure)
      options.onFailure?.(failure)
    },
  })
  for (const { start, ...partition } of starts.values()) reader.assign(partition, start)

  return {
    caughtUp: promise,
    pause: (partition) => reader.pause(partition),
    resume: (partition) => reader.resume(partition),
    close: () => {
      reader.stop()
      connection.close()
      reject(new FreshetError('ABORTED', 'the tail was closed before it had caught up'))
      return Promise.resolve()
    },
  }
}

async function startsOf(
  connection: Connection,
  topic: string,
  options: TailOptions,
): Promise<(TopicPartition & { start: number; end: number })[]> {
  const all = connection.partitionsOf(topic).map((p) => p.partitionId)
  const partitions = options.partitions ?? all
  const [low, stable, high] = await connection.retrying(`read offsets of ${topic}`, () =>
    Promise.all([
      listOffsets(connection, topic, partitions, 'earliest'),
      listOffsets(connection, topic, partitions, 'stable'),
      listOffsets(connection, topic, partitions, 'latest'),
    ]),
  )
  const { from } = options
  return partitions.map((partition, i) => {
    const start = (() => {
      if (from === 'latest') return high[i]!
      if (from === 'earliest') return low[i]!
      return from.get(partitionKey({ topic, partition })) ?? low[i]!
    })()
    return { topic, partition, start, end: stable[i]! }
  })
}

/** Promise.withResolvers, which Node 20 lacks. */
function withResolvers() {
  let resolve!: () => void
  let reject!: (error: unknown) => void
  const promise = new Promise<void>((ok, fail) => {
    resolve = ok
    reject = fail
  })
  return { promise, resolve, reject }
}
