import { setImmediate as turn } from 'node:timers/promises'
import { jsonOf } from '../../records/json.ts'
import { createGenerator } from '../../streams/generator/generator.ts'
import { ownCpuSeconds } from './usage.ts'

/** Rates by CPU time. */
export interface GeneratorCeiling {
  /** Impressions and clicks as objects. */
  readonly eventsPerSecond: number
  /** The same as the JSON that goes to Kafka. */
  readonly jsonEventsPerSecond: number
  readonly jsonBytesPerEvent: number
}

/** Events between two turns of the event loop, so that Ctrl-C is heard. */
const turnEvents = 5_000

/** How fast the generator alone is on one core: nothing that it feeds can be seen to be faster. */
export async function measureGenerator(
  fromMs: number,
  limitMs: number,
  signal: AbortSignal,
): Promise<GeneratorCeiling> {
  let bytes = 0
  let count = 0
  await eventsPerSecond(fromMs, limitMs / 4, signal, () => undefined)
  const objects = await eventsPerSecond(fromMs, limitMs / 4, signal, () => undefined)
  const json = await eventsPerSecond(fromMs, limitMs / 2, signal, (event) => {
    bytes += Buffer.byteLength(JSON.stringify(jsonOf(event)))
    count++
  })
  return {
    eventsPerSecond: objects,
    jsonEventsPerSecond: json,
    jsonBytesPerEvent: bytes / Math.max(1, count),
  }
}

async function eventsPerSecond(
  fromMs: number,
  limitMs: number,
  signal: AbortSignal,
  take: (event: Parameters<typeof jsonOf>[0]) => void,
): Promise<number> {
  const generator = createGenerator({ eventsPerSecond: 1_000 })
  let events = 0
  const startedMs = performance.now()
  const cpuSecondsBefore = ownCpuSeconds()
  for (const event of generator.events({ fromMs, untilMs: Infinity })) {
    if (event.kind === 'item') continue
    take(event)
    if (++events % turnEvents !== 0) continue
    await turn()
    if (signal.aborted || performance.now() - startedMs > limitMs) break
  }
  return events / (ownCpuSeconds() - cpuSecondsBefore)
}
