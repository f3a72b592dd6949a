import { FreshetError } from '../../errors.ts'
import type { Batch, TopicPartition } from '../ports.ts'
import { partitionKey } from '../ports.ts'
import type { Connection } from './connection.ts'
import { isPassing, protocol, protocolError, toFreshetError } from './errors.ts'
import type { FetchedPartition } from './fetch.ts'
import { fetchRequest } from './fetch.ts'
import { decodeRecordSet } from './record-batch-decode.ts'

const options = {
  isReadUncommitted: false,
  maxWaitMs: 50,
  maxBytes: 4_000_000,
  partitionMaxBytes: 4_000_000,
}

/**
 * Reads [from, to) in order, committed records only. Ends by position, so a range may end in control records or in what
 * compaction removed. Waits for a transaction that is open inside the range.
 * @throws FreshetError TOPIC_INVALID when the partition does not hold the range
 */
export async function readRange(
  connection: Connection,
  { topic, partition }: TopicPartition,
  from: number,
  to: number,
  onBatch: (batch: Batch) => Promise<void> | void,
): Promise<void> {
  for (let position = from; position < to;) {
    const answer = await fetchOnce(connection, { topic, partition }, position)
    const { highWatermark } = answer
    const { records, nextOffset } = decodeRecordSet(
      answer.recordSet,
      topic,
      partition,
      position,
      answer.aborted,
    )
    const inRange = nextOffset > to ? records.filter((record) => record.offset < to) : records
    if (inRange.length > 0) await onBatch({ topic, partition, highWatermark, records: inRange })
    if (nextOffset === position && highWatermark < to) throw missing(topic, partition, from, to)
    position = nextOffset
  }
}

async function fetchOnce(
  connection: Connection,
  tp: TopicPartition,
  offset: number,
): Promise<FetchedPartition> {
  const what = `read ${partitionKey(tp)} from ${offset}`
  return connection.retrying(what, async () => {
    await connection.addTopics([tp.topic])
    const node = connection.leaderOf(tp.topic, tp.partition)
    if (node === undefined) throw missing(tp.topic, tp.partition, offset, offset)
    const [answer] = await connection.send(node, fetchRequest([{ ...tp, offset }], options))
    const code = answer?.errorCode ?? protocol.unknownTopic
    if (code === protocol.offsetOutOfRange) throw missing(tp.topic, tp.partition, offset, offset)
    if (code !== 0) {
      const error = protocolError(code)
      throw isPassing(code)
        ? Object.assign(error, { type: 'LEADER_NOT_AVAILABLE' })
        : toFreshetError(error, what)
    }
    return answer!
  })
}

function missing(topic: string, partition: number, from: number, to: number): FreshetError {
  return new FreshetError(
    'TOPIC_INVALID',
    `${topic}/${partition} does not hold offsets ${from} to ${to}: deleted by retention, or the topic was made anew`,
  )
}
