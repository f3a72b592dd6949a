import { decodeDeadLetter, decodeEvent, decodeExample } from '../../records/codec.ts'
import type { TopicNames } from '../../records/topics.ts'
import type { Click, Example, Impression } from '../../records/types.ts'
import type { Located, RefusedEvent } from '../../streams/explain.ts'
import type { SourceRecord } from '../../streams/stage.ts'
import { decoded } from '../kafka/readable.ts'
import type { KafkaClient } from '../ports.ts'
import { scanAll, scanNewest } from './scan.ts'

type Reader = Pick<KafkaClient, 'offsets' | 'readRange'>

/** What the newest records of a user's partition say of the user, oldest first. */
export interface UserRecords {
  readonly examples: readonly Located<Example>[]
  readonly impressions: readonly Located<Impression>[]
  readonly clicks: readonly Located<Click>[]
}

/** @param last how many of the newest records of each topic are read */
export async function recordsOfUser(
  kafka: Reader,
  topics: Pick<TopicNames, 'events' | 'examples'>,
  partition: number,
  userId: string,
  last: number,
): Promise<UserRecords> {
  const examples: Located<Example>[] = []
  const impressions: Located<Impression>[] = []
  const clicks: Located<Click>[] = []
  const key = Buffer.from(userId)
  const isOfUser = (record: SourceRecord): boolean => record.key?.equals(key) === true
  await scanNewest(kafka, { topic: topics.examples, partition }, last, (record) => {
    if (!isOfUser(record)) return
    const example = decoded(decodeExample, record.value)
    if (example?.kind === 'example') examples.push(located(record, example))
  })
  await scanNewest(kafka, { topic: topics.events, partition }, last, (record) => {
    if (!isOfUser(record)) return
    const event = decoded(decodeEvent, record.value)
    if (event?.kind === 'impression') impressions.push(located(record, event))
    if (event?.kind === 'click') clicks.push(located(record, event))
  })
  return { examples, impressions, clicks }
}

/** Events of the user that the joiner refused, among the newest dead letters of each partition. */
export async function refusedOfUser(
  kafka: Reader,
  topics: Pick<TopicNames, 'events' | 'deadLetters'>,
  userId: string,
  last: number,
): Promise<RefusedEvent[]> {
  const refused: RefusedEvent[] = []
  await scanAll(kafka, topics.deadLetters, last, ({ value }) => {
    const letter = decoded(decodeDeadLetter, value)
    if (letter?.sourceTopic !== topics.events) return
    const event = decoded(decodeEvent, letter.original)
    if (event === null || event.kind === 'heartbeat' || event.userId !== userId) return
    refused.push({ letter, event })
  })
  return refused
}

function located<T>({ partition, offset, timestampMs }: SourceRecord, record: T): Located<T> {
  return { partition, offset, arrivedMs: timestampMs, record }
}
