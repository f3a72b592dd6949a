import { decodeExample, encodeEvent } from '../../records/codec.ts'
import { bodyOfExample } from '../../records/example-codec.ts'
import type { Example } from '../../records/types.ts'
import type { JoinerOptions } from '../../streams/joiner.ts'
import type { ComparedWindow } from '../../streams/comparison.ts'
import type { CatalogueChange } from '../../streams/learner-types.ts'
import { OfflineJoiner } from '../../streams/offline-joiner.ts'
import type { SourceEvent } from '../../streams/source-event.ts'

export const dayMs = 86_400_000

/** A window of event time, cut as the learner cuts it; only such as hold something. */
export interface JoinedWindow extends ComparedWindow {
  readonly startMs: number
  readonly endMs: number
}

/** What a UTC day of events comes to. */
export interface JoinedDay {
  /** YYYY-MM-DD */
  readonly day: string
  readonly startMs: number
  /** In the order of the examples topic. */
  readonly examples: readonly Example[]
  /** Their Avro bodies, as the archive holds them. */
  readonly bodies: readonly Buffer[]
  readonly windows: readonly JoinedWindow[]
  /** The whole catalogue as it is at the end of the day. */
  readonly catalogue: readonly CatalogueChange[]
}

/**
 * Events in order of time, joined by the joiner of production as one partition and cut into days and windows of event time.
 * Items that come before the first impression belong to the first window.
 * @param windowMs a divisor of a day
 */
export async function* joinedDays(
  events: AsyncIterable<SourceEvent> | Iterable<SourceEvent>,
  options: Omit<JoinerOptions, 'topics'>,
  windowMs: number,
): AsyncGenerator<JoinedDay> {
  const days = new Days(options, windowMs)
  for await (const event of events) {
    if (event.kind !== 'item' && days.isOver(event.eventTimeMs)) yield days.close()
    days.add(event)
  }
  if (!days.isEmpty) yield days.close()
}

class Days {
  readonly #windowMs: number
  readonly #joiner: OfflineJoiner
  readonly #catalogue = new Map<string, CatalogueChange>()
  #startMs: number | null = null
  #values: Buffer[] = []
  #changes: { readonly timeMs: number; readonly change: CatalogueChange }[] = []
  readonly #ends = { items: 0, examples: 0 }

  constructor(options: Omit<JoinerOptions, 'topics'>, windowMs: number) {
    this.#windowMs = windowMs
    this.#joiner = new OfflineJoiner(options, 1)
  }

  get isEmpty(): boolean {
    return this.#startMs === null
  }

  isOver(timeMs: number): boolean {
    return this.#startMs !== null && timeMs >= this.#startMs + dayMs
  }

  add(event: SourceEvent): void {
    if (event.kind === 'item') {
      const { itemId, item, eventTimeMs } = event
      this.#changes.push({ timeMs: eventTimeMs, change: { itemId, item } })
      this.#catalogue.set(itemId, { itemId, item })
      return
    }
    this.#startMs ??= Math.floor(event.eventTimeMs / dayMs) * dayMs
    const { examples } = this.#joiner.add(0, encodeEvent(event), event.eventTimeMs)
    for (const value of examples) this.#values.push(value)
  }

  /** The day so far; the next event opens another one. */
  close(): JoinedDay {
    const startMs = this.#startMs!
    const values = this.#values
    const examples = values.map(decodeExample).filter(isExample)
    const day = {
      ...{ day: new Date(startMs).toISOString().slice(0, 10), startMs, examples },
      bodies: values.flatMap((value) => bodyOfExample(value) ?? []),
      windows: this.#windowsOf(startMs, examples),
      catalogue: [...this.#catalogue.values()],
    }
    this.#startMs = null
    this.#values = []
    this.#changes = []
    return day
  }

  #windowsOf(dayStartMs: number, examples: readonly Example[]): JoinedWindow[] {
    const windowMs = this.#windowMs
    const windows = new Map<number, { changes: CatalogueChange[]; examples: Example[] }>()
    const at = (timeMs: number) => {
      const number = Math.floor(Math.max(0, timeMs - dayStartMs) / windowMs)
      const found = windows.get(number) ?? { changes: [], examples: [] }
      windows.set(number, found)
      return found
    }
    for (const { timeMs, change } of this.#changes) at(timeMs).changes.push(change)
    for (const example of examples) at(example.eventTimeMs).examples.push(example)
    return [...windows]
      .sort(([a], [b]) => a - b)
      .map(([number, window]) => ({
        startMs: dayStartMs + number * windowMs,
        endMs: dayStartMs + (number + 1) * windowMs,
        catalogue: this.#cut('items', window.changes, (cut) => ({ cut, changes: window.changes })),
        examples: this.#cut('examples', window.examples, (cut) => ({
          cut,
          records: window.examples.map((record, i) => ({ offset: cut.from + i, record })),
        })),
      }))
  }

  #cut<T>(
    topic: 'items' | 'examples',
    { length }: readonly unknown[],
    make: (cut: { topic: string; partition: number; from: number; to: number }) => T,
  ): T[] {
    if (length === 0) return []
    const from = this.#ends[topic]
    this.#ends[topic] += length
    return [make({ topic, partition: 0, from, to: from + length })]
  }
}

function isExample(record: ReturnType<typeof decodeExample>): record is Example {
  return record.kind === 'example'
}
