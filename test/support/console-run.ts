import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { encodeItem } from '../../src/records/codec.ts'
import { noFeatures } from '../../src/records/types.ts'
import { openGeneratedDays } from '../../src/runtime/replay/generator-source.ts'
import { openPositions } from '../../src/runtime/replay/positions.ts'
import { replay } from '../../src/runtime/replay/replayer.ts'
import { createGenerator } from '../../src/streams/generator/generator.ts'
import type { Overview, UserView } from '../../src/console/api.ts'
import { deployment, type Deployment, type DeploymentOptions } from './deployment.ts'
import { generatorSettings } from './live-system.ts'
import type { OnEnd } from './own-servers.ts'
import { startRole } from './role-process.ts'

/** An id, a title and a value that would run if they became markup. */
export const evil = '<img src=x onerror="window.isOwned=true">'

export interface ConsoleRun {
  readonly target: Deployment
  /** Without a path. */
  readonly url: string
  /** Of a user with clicks in the live generation. */
  readonly userId: string
}

/** A small world that changes slowly, so that its days are soon made; some clicks are enough for a full update. */
const world = { eventsPerSecond: 0.2, users: 300, items: 600, slotMs: 600_000 }
/** As a replay at full speed: otherwise clicks of a backlog are not scored. */
const scoringAll = { order: 'event-time', evaluationsPerSecondMax: 1_000_000 }
const withinMs = 120_000

/**
 * `freshet all` with two generated days behind it, of which the first has become a generation; with dead letters, and a user, an item and a
 * click that are called `evil`.
 */
export async function consoleRun(onEnd: OnEnd, options: DeploymentOptions): Promise<ConsoleRun> {
  const target = await deployment(onEnd, {
    ...options,
    settings: { ...generatorSettings(), learner: scoringAll },
  })
  const { dir, kafka, topics } = target
  const config = path.join(dir, 'freshet.yaml')
  const all = startRole(onEnd, { name: 'all', dir, args: ['all', '--config', config] })
  const { url } = await all.waitForLog(({ msg }) => msg === 'serving the console')
  const source = openGeneratedDays(createGenerator(world), 2)
  const clock = { nowMs: () => Date.now() }
  const positions = openPositions(path.join(dir, 'positions'))
  const signal = new AbortController().signal
  const run = { target, url: new URL(String(url)).origin, userId: '' }
  let lastEventTimeMs = 0
  await replay({
    ...{ source, kafka, topics, clock, speed: 'max', signal, positions },
    onProgress: (progress) => (lastEventTimeMs = progress.lastEventTimeMs),
    onDayEnd: () =>
      until(async () => (await ask<Overview>(run, 'overview')).live?.startsWith('full-') === true),
    // Before event time goes on: later they would be late.
    onSent: () => sendOddities(run, lastEventTimeMs),
  })
  const userId = await userWithClicks(run)
  await until(async () => {
    const { clicks } = await ask<UserView>(run, 'user', { id: evil })
    return clicks.length > 0
  })
  return { ...run, userId }
}

export async function ask<T>(
  { url }: Pick<ConsoleRun, 'url'>,
  name: string,
  parameters: Readonly<Record<string, string>> = {},
): Promise<T> {
  const query = new URLSearchParams(parameters).toString()
  const response = await fetch(`${url}/console/api/${name}?${query}`)
  if (!response.ok) throw new Error(`${name}: ${await response.text()}`)
  return (await response.json()) as T
}

async function until(isReached: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + withinMs
  while (!(await isReached())) {
    if (performance.now() > deadlineMs) throw new Error(`not reached within ${withinMs} ms`)
    await sleep(300)
  }
}

async function sendOddities({ target }: ConsoleRun, eventTimeMs: number): Promise<void> {
  const { kafka, topics } = target
  const producer = await kafka.producer()
  const send = (topic: string, key: string, value: Buffer): Promise<void> =>
    producer.send([{ topic, key, value, timestampMs: Date.now() }])
  const json = (record: object): Buffer => Buffer.from(JSON.stringify(record))
  const page = { request_id: evil, user_id: evil, event_time: eventTimeMs }
  const item = { itemId: evil, title: evil, createdAtMs: eventTimeMs, features: noFeatures }
  await send(topics.items, evil, encodeItem(item))
  await send(
    topics.impressions,
    evil,
    json({ ...page, items: [evil], features: { categorical: { region: evil } } }),
  )
  await send(topics.clicks, evil, json({ ...page, item_id: evil }))
  await send(topics.clicks, 'a', Buffer.from(evil))
  await send(topics.clicks, 'b', Buffer.from([0xc3, 0x28, 0, 1, 2]))
  await send(topics.clicks, 'c', json({ request_id: 'r-7', user_id: '7', event_time: eventTimeMs }))
  await send(topics.impressions, 'd', json({ request_id: 'r-8', user_id: '8', event_time: 'noon' }))
  await producer.close()
}

/** The user of the newest example. */
async function userWithClicks({ target: { kafka, topics } }: ConsoleRun): Promise<string> {
  const partition = { topic: topics.examples, partition: 0 }
  const [ends] = await kafka.offsets(partition.topic)
  let found = ''
  await kafka.readRange(partition, ends!.low, ends!.high, ({ records }) => {
    // The visitor with a page for an id is clicked by the tests, and is none of the usual ones.
    for (const { key } of records) if (key !== null && String(key) !== evil) found = String(key)
  })
  return found
}

/** The pictures of docs/console.md are written only where CONSOLE_SHOTS is set. */
export const shotsDir =
  process.env['CONSOLE_SHOTS'] === undefined
    ? null
    : path.resolve(import.meta.dirname, '../../docs/console')

if (shotsDir !== null) fs.mkdirSync(shotsDir, { recursive: true })
