import type { Producer } from 'kafkajs'
import { setTimeout as sleep } from 'node:timers/promises'
import { encodeItem } from '../../src/records/codec.ts'
import type { TopicNames } from '../../src/records/topics.ts'
import type { RecallClient, RecallResult } from '../../src/runtime/recall-client.ts'

/** What stands outside: plain kafkajs that sends, and the client of the package that asks. */
export interface Outside {
  readonly producer: Producer
  readonly client: RecallClient
  readonly topics: TopicNames
}

const k = 20
const pageSize = 10
const visibleWithinMs = 20_000
const pollMs = 5

/**
 * A page of what recall gives, then a click on it, both as JSON by hand.
 * @returns milliseconds from sending the click until a reply knows it, has left the clicked item out and is another one
 * @throws when that takes too long
 */
export async function clickTrial(outside: Outside, userId: string, name: string): Promise<number> {
  const { producer, topics, client } = outside
  // Right after the start no item has been published yet.
  const before = await askUntil(
    () => client.recall({ userId, k, timeoutMs: visibleWithinMs }),
    ({ items }) => items.length >= pageSize,
    'a page of items',
  )
  const items = idsOf(before).slice(0, pageSize)
  const page = { request_id: name, user_id: userId, event_time: Date.now(), items }
  await producer.send({ topic: topics.impressions, messages: [jsonOf(userId, page)] })
  const clicked = items[Math.floor(items.length / 2)]!
  const eventTimeMs = Date.now()
  const click = { request_id: name, user_id: userId, item_id: clicked, event_time: eventTimeMs }
  const sentMs = performance.now()
  await producer.send({ topic: topics.clicks, messages: [jsonOf(userId, click)] })
  const reply = await askUntil(
    () => client.recall({ userId, k, timeoutMs: visibleWithinMs }),
    ({ status, userEventTime }) => status === 'OK' && userEventTime?.getTime() === eventTimeMs,
    `the click of ${name}`,
  )
  const tookMs = performance.now() - sentMs
  if (idsOf(reply).includes(clicked)) throw new Error(`${name}: the clicked item is still there`)
  if (JSON.stringify(idsOf(reply)) === JSON.stringify(idsOf(before))) {
    throw new Error(`${name}: the items are the same as before the click`)
  }
  return tookMs
}

/**
 * A new entry of the catalogue, with a category that no other item has.
 * @returns milliseconds from sending it until recall gives it
 */
export async function itemTrial(outside: Outside, userId: string, itemId: string): Promise<number> {
  const { producer, topics, client } = outside
  const features = {
    categorical: new Map([['category', [itemId]]]),
    numeric: new Map(),
    dense: new Map(),
  }
  const title = `New: ${itemId}`
  const value = encodeItem({ itemId, title, createdAtMs: Date.now(), features })
  const sentMs = performance.now()
  await producer.send({ topic: topics.items, messages: [{ key: itemId, value }] })
  const filter = { feature: 'category', values: [itemId] }
  const reply = await askUntil(
    () => client.recall({ userId, k: 1, filter, timeoutMs: visibleWithinMs }),
    ({ items }) => items.length > 0,
    `item ${itemId}`,
  )
  const tookMs = performance.now() - sentMs
  const found = reply.items[0]!
  if (found.itemId !== itemId || found.title !== title) {
    throw new Error(`recall gave ${found.itemId} (${found.title}) for ${itemId}`)
  }
  return tookMs
}

export function idsOf({ items }: RecallResult): string[] {
  return items.map(({ itemId }) => itemId)
}

function jsonOf(key: string, value: object) {
  return { key, value: JSON.stringify(value) }
}

export async function askUntil(
  ask: () => Promise<RecallResult>,
  isWanted: (reply: RecallResult) => boolean,
  what: string,
): Promise<RecallResult> {
  const deadlineMs = performance.now() + visibleWithinMs
  for (;;) {
    const reply = await ask()
    if (isWanted(reply)) return reply
    if (performance.now() > deadlineMs) {
      const { items, ...rest } = reply
      throw new Error(
        `${what} is not visible after ${visibleWithinMs} ms: ${JSON.stringify(rest)}, ${items.length} items`,
      )
    }
    await sleep(pollMs)
  }
}
