import type { SourceEvent } from '../../streams/source-event.ts'

/** How far a source has been sent: everything up to here is in Kafka. */
export interface ReplayPosition {
  /** Identity of the source that this is a position in. */
  readonly source: string
  readonly impressions: number
  readonly clicks: number
  readonly items: number
  /** Greatest event time of an impression or click sent, 0 for none. */
  readonly lastEventTimeMs: number
}

/** Something that can be replayed, in event-time order, items before the events that show them. */
export interface ReplaySource {
  /** Names the content: with other content, a position means nothing. */
  readonly identity: string
  /** For people, e.g. `80,000 ratings of 9,419 films`. */
  readonly description: string
  /** What comes after a position; from the start for null. */
  events(after: ReplayPosition | null): AsyncIterable<SourceEvent> | Iterable<SourceEvent>
  /** How much of the source has been read, in [0, 1]; null for one without end. */
  shareDone(): number | null
}

export function eventsIn(position: ReplayPosition): number {
  return position.impressions + position.clicks + position.items
}
