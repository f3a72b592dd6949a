import { setTimeout as sleep } from 'node:timers/promises'
import { encodeItem } from '../../src/records/codec.ts'
import { jsonOf } from '../../src/records/json.ts'
import type { TopicNames } from '../../src/records/topics.ts'
import type { KafkaClient } from '../../src/runtime/ports.ts'
import type { SourceEvent } from '../../src/streams/source-event.ts'
import type { SinkRecord } from '../../src/streams/stage.ts'

const tickMs = 20

/**
 * Sends events to the source topics as an outside producer would, in their order, so many a second. Events that fall due while a
 * send is under way go with the next one. @returns how many were sent
 */
export async function feed(
  kafka: Pick<KafkaClient, 'producer'>,
  topics: Pick<TopicNames, 'impressions' | 'clicks' | 'items'>,
  events: Iterable<SourceEvent>,
  options: { readonly perSecond: number; readonly signal?: AbortSignal },
): Promise<number> {
  const producer = await kafka.producer()
  const startedMs = performance.now()
  let sent = 0
  let chunk: SinkRecord[] = []
  try {
    for (const event of events) {
      while (sent + chunk.length >= ((performance.now() - startedMs) * options.perSecond) / 1_000) {
        if (options.signal?.aborted === true) return sent
        await producer.send(chunk)
        sent += chunk.length
        chunk = []
        await sleep(tickMs)
      }
      chunk.push(recordOf(event, topics))
    }
    await producer.send(chunk)
    return sent + chunk.length
  } finally {
    await producer.close()
  }
}

export function recordOf(
  event: SourceEvent,
  topics: Pick<TopicNames, 'impressions' | 'clicks' | 'items'>,
): SinkRecord {
  const timestampMs = Date.now()
  if (event.kind === 'item') {
    const value = event.item === null ? null : encodeItem(event.item)
    return { topic: topics.items, key: event.itemId, value, timestampMs }
  }
  const topic = event.kind === 'impression' ? topics.impressions : topics.clicks
  return {
    topic,
    key: event.userId,
    value: Buffer.from(JSON.stringify(jsonOf(event))),
    timestampMs,
  }
}
