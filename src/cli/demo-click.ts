import { setTimeout as pause } from 'node:timers/promises'
import { FreshetError } from '../errors.ts'
import { jsonOf } from '../records/json.ts'
import type { TopicNames } from '../records/topics.ts'
import { noFeatures, type Click, type Impression } from '../records/types.ts'
import type { Producer } from '../runtime/ports.ts'
import type { RecallClient, RecalledItem, RecallResult } from '../runtime/recall-client.ts'

export interface DemoClickDeps {
  readonly client: RecallClient
  readonly producer: Producer
  readonly topics: Pick<TopicNames, 'impressions' | 'clicks'>
}

export interface DemoClick {
  readonly userId: string
  readonly clicked: RecalledItem
  readonly clickedAtMs: number
  /** When the first reply was had that knows the click. */
  readonly seenAtMs: number
  readonly before: RecallResult
  readonly after: RecallResult
}

const k = 10
const withinMs = 30_000
const pollMs = 5

/**
 * A user is shown what recall gives, and clicks one item of it, both sent to the source topics as any application would.
 * @throws FreshetError TIMEOUT
 */
export async function clickAsUser(
  { client, producer, topics }: DemoClickDeps,
  userId: string,
): Promise<DemoClick> {
  const ask = () => client.recall({ userId, k, timeoutMs: withinMs })
  const startedMs = Date.now()
  // The roles have only just been started: what counts is how soon they know a click when they are at work.
  const before = await until(
    ask,
    ({ items, learnedThrough }) =>
      items.length === k && (learnedThrough?.getTime() ?? 0) >= startedMs,
    'a page of items from a learner that has come to the present',
  )
  const shownAtMs = Date.now()
  const ids = { requestId: `demo-${shownAtMs}`, userId }
  const page: Impression = {
    ...{ ...ids, kind: 'impression', eventTimeMs: shownAtMs, scenario: 'demo' },
    ...{ items: before.items.map(({ itemId }) => itemId), eliminated: [], features: noFeatures },
  }
  const clicked = before.items[Math.floor(k / 2)]!
  const click: Click = {
    ...{ ...ids, kind: 'click', itemId: clicked.itemId, eventTimeMs: shownAtMs + 1 },
    ...{ action: 'click', weight: 1 },
  }
  const send = (topic: string, event: Impression | Click) => {
    const value = Buffer.from(JSON.stringify(jsonOf(event)))
    return producer.send([{ topic, key: userId, value, timestampMs: Date.now() }])
  }
  await send(topics.impressions, page)
  const clickedAtMs = Date.now()
  await send(topics.clicks, click)
  const after = await until(
    ask,
    ({ userEventTime }) => (userEventTime?.getTime() ?? 0) >= click.eventTimeMs,
    'a reply that knows the click',
  )
  return { userId, clicked, clickedAtMs, seenAtMs: Date.now(), before, after }
}

async function until(
  ask: () => Promise<RecallResult>,
  isThere: (result: RecallResult) => boolean,
  what: string,
): Promise<RecallResult> {
  const deadlineMs = performance.now() + withinMs
  for (;;) {
    const result = await ask()
    if (isThere(result)) return result
    if (performance.now() > deadlineMs) {
      throw new FreshetError('TIMEOUT', `${what} has not come within ${withinMs / 1_000} s`)
    }
    await pause(pollMs)
  }
}

/** Both lists beside each other, what is new in the second one marked, and the sentence it is all about. */
export function describeDemoClick(click: DemoClick): string {
  const { userId, clicked, clickedAtMs, seenAtMs, before, after } = click
  const known = new Set(before.items.map(({ itemId }) => itemId))
  const heading = 'before the click'
  const names = before.items.map(named)
  const width = Math.max(heading.length, ...names.map((name) => name.length)) + 2
  const rows = before.items.map((item, i) => {
    const now = after.items[i]
    const isNew = now !== undefined && !known.has(now.itemId)
    const mark = item.itemId === clicked.itemId ? '>' : ' '
    return `${mark} ${String(i + 1).padStart(2)}  ${names[i]!.padEnd(width)}${isNew ? '+' : ' '} ${now === undefined ? '' : named(now)}`
  })
  const seconds = ((seenAtMs - clickedAtMs) / 1_000).toFixed(1)
  return [
    `      ${heading.padEnd(width)}  after it (+ is new; what was clicked is left out)`,
    ...rows,
    '',
    `user ${userId} clicked ${named(clicked)} at ${timeOf(clickedAtMs)}; its recall changed at ${timeOf(seenAtMs)} (${seconds} s)`,
  ].join('\n')
}

function named({ itemId, title }: RecalledItem): string {
  return title === '' ? itemId : title
}

function timeOf(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(11, 23)
}
