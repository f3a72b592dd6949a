/**
 * The generator's own ceiling on one core: events a second, as objects and as the JSON that goes to Kafka, and what asking for
 * the truth costs. No pipeline that it feeds can be measured beyond the first two.
 */
import { performance } from 'node:perf_hooks'
import type { Click, Impression } from '../src/records/types.ts'
import { jsonOf } from '../src/records/json.ts'
import { createGenerator } from '../src/streams/generator/generator.ts'
import { OptimalRecall } from '../src/streams/generator/optimum.ts'

const generator = createGenerator()
const fromMs = Date.UTC(2026, 0, 5, 9)
const range = { fromMs, untilMs: fromMs + 600_000 }

/** The second of two passes, so that the first one warms up. */
function eventsPerSecond(take: (event: Impression | Click) => void): number {
  let rate = 0
  for (let pass = 0; pass < 2; pass++) {
    let events = 0
    const startedMs = performance.now()
    for (const event of generator.events(range)) {
      if (event.kind === 'item') continue
      take(event)
      events++
    }
    rate = (events / (performance.now() - startedMs)) * 1_000
  }
  return Math.round(rate)
}

let jsonBytes = 0
const objectsPerSecond = eventsPerSecond(() => undefined)
const jsonPerSecond = eventsPerSecond((event) => {
  jsonBytes += Buffer.byteLength(JSON.stringify(jsonOf(event)))
})

const optimum = new OptimalRecall(generator.world)
const shownMs = new Map<string, number>()
let truthMs = 0
for (const event of generator.events({ fromMs, untilMs: fromMs + 60_000 })) {
  if (event.kind === 'impression') shownMs.set(event.requestId, event.eventTimeMs)
  if (event.kind !== 'click') continue
  const startedMs = performance.now()
  optimum.add(event.userId, event.itemId, shownMs.get(event.requestId)!)
  truthMs += performance.now() - startedMs
}

console.log(
  JSON.stringify({
    eventsPerSecond: objectsPerSecond,
    jsonEventsPerSecond: jsonPerSecond,
    jsonBytes,
    optimumMicrosecondsPerClick: Math.round((truthMs / optimum.cases) * 1_000),
    optimalRecallAt50: optimum.recallAt(50),
    optimalRecallAt100: optimum.recallAt(100),
  }),
)
