import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/schema.ts'
import { decodeControlDocument, decodeReport } from '../records/codec.ts'
import { partitionKey } from '../runtime/ports.ts'
import type { Connected } from './connect.ts'
import { eachReadable } from '../runtime/kafka/readable.ts'
import { Screen } from './screen.ts'
import { stopSignal } from './stop-signal.ts'
import { VisibleDelay } from './visible-delay.ts'
import { WatchModel, type WatchEvent } from '../console/watch-model.ts'
import { eventLine, openingEvent, watchBlock } from './watch-view.ts'

export interface WatchOptions {
  readonly json: boolean
  /** Of the learner; null: not known. */
  readonly metricsUrl: string | null
}

const drawMs = 500
/** Documents before now that tell when the candidate got where it is. */
const historyMax = 200

/** Shows what happens to the generations, until Ctrl-C. */
export async function watch(
  config: Config,
  { kafka, topics }: Connected,
  options: WatchOptions,
): Promise<void> {
  const screen = new Screen(process.stdout)
  const isBlock = screen.isInteractive && !options.json
  const model = new WatchModel(Date.now())
  const controllerOptions = { ...config.generations, partitions: config.kafka.partitions }
  const delay = options.metricsUrl === null ? null : new VisibleDelay(options.metricsUrl)
  const draw = (): void => {
    const view = { model, nowMs: Date.now(), options: controllerOptions }
    if (isBlock) screen.draw(watchBlock({ ...view, delay: delay?.newest ?? null }))
  }
  let isFollowing = false
  const print = (events: readonly WatchEvent[]): void => {
    if (!isFollowing || events.length === 0) return
    for (const event of events) screen.log(`${options.json ? jsonLine(event) : eventLine(event)}\n`)
    draw()
  }
  const control = { topic: topics.controlHistory, partition: 0 }
  const [ends] = await kafka.offsets(control.topic)
  const from = Math.max(ends?.low ?? 0, (ends?.high ?? 0) - historyMax)
  const documents = await kafka.tail({
    topics: [control.topic],
    from: new Map([[partitionKey(control), from]]),
    onBatch: eachReadable(decodeControlDocument, (document, atMs) =>
      print(model.onDocument(document, atMs)),
    ),
  })
  await documents.caughtUp
  isFollowing = true
  const reports = await kafka.tail({
    topics: [topics.reports],
    from: 'latest',
    onBatch: eachReadable(decodeReport, (report) => print(model.onReport(report, Date.now()))),
  })
  if (isBlock) screen.log('each step as it happens; Ctrl-C ends this\n')
  else print([openingEvent(model.document, Date.now())])
  const signal = stopSignal(() => undefined)
  try {
    while (!signal.aborted) {
      print(model.onTick(Date.now()))
      draw()
      await delay?.read()
      await sleep(drawMs, undefined, { signal }).catch(() => undefined)
    }
  } finally {
    screen.end()
    await documents.close()
    await reports.close()
  }
}

function jsonLine({ atMs, ...event }: WatchEvent): string {
  return JSON.stringify({ at: new Date(atMs).toISOString(), ...event })
}
