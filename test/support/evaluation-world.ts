import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { noFeatures, type Click, type Impression } from '../../src/records/types.ts'
import type { ReplaySource } from '../../src/runtime/replay/source.ts'
import type { SourceEvent } from '../../src/streams/source-event.ts'
import { seededRandom } from './seeded-random.ts'

const dayMs = 86_400_000
export const startMs = Date.UTC(2026, 0, 1)
const [users, items, days] = [30, 60, 6]

/** Of a model that is large enough for it. */
export const worldSettings: readonly string[] = [
  ...['model.dim=8', 'model.outputDim=6', 'model.item.hidden=[8,6]', 'model.user.hidden=8'],
  ...['learner.negatives=16'],
  // Without a catalogue a click is all that is known of an item.
  'learner.admitAfterItems=1',
]

export function sourceOf(events: readonly SourceEvent[]): ReplaySource {
  const about = { identity: 'test', description: 'test', shareDone: () => null }
  return { ...about, events: () => events }
}

/** As JSON lines, which `--events` takes. */
export async function writeWorld(dir: string, seed: number): Promise<void> {
  const lines = (kind: string) =>
    worldOf(seed)
      .filter((event) => event.kind === kind)
      .map((event) => JSON.stringify(asJson(event)))
  for (const [kind, name] of [
    ['impression', 'impressions'],
    ['click', 'clicks'],
  ] as const) {
    await writeFile(path.join(dir, `${name}.jsonl`), `${lines(kind).join('\n')}\n`)
  }
}

/** Users of three tastes; an item in six is new each day, and nobody knows it before its first click. */
export function worldOf(seed: number): SourceEvent[] {
  const random = seededRandom(seed)
  const events: SourceEvent[] = []
  for (let day = 0; day < days; day++) {
    for (let n = 0; n < 200; n++) {
      const user = random.between(0, users - 1)
      const highest = Math.min(items, 30 + 5 * day) - 1
      const item = Math.min(highest, random.between(0, Math.floor(highest / 3)) * 3 + (user % 3))
      const eventTimeMs = startMs + day * dayMs + Math.floor((n * dayMs) / 200)
      const requestId = `r${day}-${n}`
      // At noon something new is on everybody's lips for an hour.
      const itemId = n >= 100 && n < 108 ? `news${day}` : `item${item}`
      const userId = `user${user}`
      const page: Impression = {
        ...{ kind: 'impression', requestId, userId, eventTimeMs, scenario: 'home' },
        ...{ items: [itemId], eliminated: [], features: noFeatures },
      }
      const click: Click = {
        ...{ kind: 'click', requestId, userId, itemId, eventTimeMs: eventTimeMs + 1_000 },
        ...{ action: 'click', weight: 1 },
      }
      events.push(page, click)
    }
  }
  return events
}

function asJson(event: SourceEvent) {
  if (event.kind === 'item') return event
  const { requestId: request_id, userId: user_id, eventTimeMs } = event
  const common = { request_id, user_id, event_time: new Date(eventTimeMs).toISOString() }
  return event.kind === 'impression'
    ? { ...common, scenario: event.scenario, items: event.items, eliminated: [] }
    : { ...common, item_id: event.itemId, action: event.action, weight: event.weight }
}
