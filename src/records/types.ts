/** The records that travel over freshet's topics, as TypeScript sees them. Wire format: `schemas.ts`, `codec.ts`. */

/** Features as they were seen at request time. Keys are feature names; which ones a tower uses is config. */
export interface Features {
  readonly categorical: ReadonlyMap<string, readonly string[]>
  readonly numeric: ReadonlyMap<string, number>
  readonly dense: ReadonlyMap<string, readonly number[]>
}

export const noFeatures: Features = { categorical: new Map(), numeric: new Map(), dense: new Map() }

/** One page shown to one user: `items` in the order shown, `eliminated` a sample of what ranking dropped. */
export interface Impression {
  readonly kind: 'impression'
  readonly requestId: string
  readonly userId: string
  readonly eventTimeMs: number
  readonly scenario: string
  readonly items: readonly string[]
  readonly eliminated: readonly string[]
  readonly features: Features
}

export interface Click {
  readonly kind: 'click'
  readonly requestId: string
  readonly userId: string
  readonly itemId: string
  readonly eventTimeMs: number
  /** What the user did: 'click', 'play', 'purchase', ... */
  readonly action: string
  readonly weight: number
}

/** Says that event time has reached `eventTimeMs` in this partition although no event said so. */
export interface Heartbeat {
  readonly kind: 'heartbeat'
  readonly eventTimeMs: number
}

export type Event = Impression | Click | Heartbeat

/** An impression whose features are still the bytes of an Avro `Features` record: a view of the record's value. */
export interface ImpressionHead extends Omit<Impression, 'features'> {
  readonly features: Buffer
}

export type EventHead = ImpressionHead | Click | Heartbeat

/** An impression of which only the ids and the time are decoded. */
export interface ImpressionPage extends Pick<
  Impression,
  'kind' | 'requestId' | 'userId' | 'eventTimeMs'
> {
  /** Avro bytes from `scenario` to the end, a view of the record's value; `page.ts` reads them. */
  readonly page: Buffer
}

export type EventPage = ImpressionPage | Click | Heartbeat

/** A catalogue entry; a null value on the topic withdraws the item. */
export interface Item {
  readonly itemId: string
  readonly title: string
  readonly createdAtMs: number
  readonly features: Features
}

/** One training example: one (request, item) clicked. */
export interface Example {
  readonly kind: 'example'
  readonly requestId: string
  readonly userId: string
  readonly itemId: string
  readonly eventTimeMs: number
  readonly impressionTimeMs: number
  /** 0-based place of the item on the page. */
  readonly position: number
  readonly weight: number
  readonly scenario: string
  /** Items that ranking eliminated. Shown but not clicked is not among them. */
  readonly hardNegatives: readonly string[]
  readonly features: Features
}

/** Everything but the features, which may be copied as bytes. */
export type ExampleParts = Omit<Example, 'kind' | 'features'>
export type PageExampleParts = Omit<ExampleParts, 'scenario' | 'hardNegatives'>

/** An example whose features are still the bytes of an Avro `Features` record: a view of the record's value. */
export interface ExampleHead extends Omit<Example, 'features'> {
  readonly features: Buffer
}

/** One item's vector that differs from the indexed one; `vector: null` withdraws the item. */
export interface Override {
  readonly kind: 'override'
  readonly generation: string
  readonly sequence: number
  readonly itemId: string
  /** L2-normalised, `dim` floats. */
  readonly vector: Float32Array | null
  /** Newest event time behind the vector, 0 for none. */
  readonly eventTimeMs: number
}

/** Closes an override set: everything with this generation and sequence has been sent. Pods apply whole sets only. */
export interface OverrideSetEnd {
  readonly kind: 'set-end'
  readonly generation: string
  readonly sequence: number
  readonly count: number
  readonly eventTimeMs: number
}

export interface DeadLetter {
  readonly sourceTopic: string
  readonly partition: number
  readonly offset: number
  /** One of the `dead-letter` codes of errors.ts. */
  readonly code: string
  readonly message: string
  /** Which role refused it. */
  readonly role: string
  readonly original: Buffer
  readonly originalKey: Buffer | null
}

export interface RecallRequest {
  readonly correlationId: string
  readonly userId: string
  readonly features: Features
  readonly k: number
  readonly scenario: string
  readonly exclude: readonly string[]
  /** Only items with one of these values of one categorical feature; null: all items. */
  readonly filter: { readonly feature: string; readonly values: readonly string[] } | null
  /** Counted from the request record's timestamp. */
  readonly timeoutMs: number
  readonly replyTopic: string
  readonly replyPartition: number
  readonly withTitles: boolean
}

export type RecallStatus =
  'OK' | 'COLD_USER' | 'DEGRADED' | 'NO_GENERATION' | 'INVALID' | 'OVERLOADED'

export interface RecallReply {
  readonly correlationId: string
  readonly status: RecallStatus
  /** Why, where the status is not OK. */
  readonly message: string
  /** Best first. `score` is a cosine. */
  readonly items: readonly {
    readonly itemId: string
    readonly score: number
    readonly title: string
  }[]
  readonly generation: string
  readonly overrideSequence: number
  /** Event time of the newest example in the user's row, 0 for none. */
  readonly userEventTimeMs: number
  /** Offset of that example; -1: the row is as the generation came with it; null: the default row served. */
  readonly userOffset: number | null
  /** Event time through which the learner has applied the user's partition, 0 for unknown. */
  readonly learnedThroughMs: number
}

/** What a role tells the controller and `freshet status`. */
export interface Report {
  /** e.g. `learner`, `recall` */
  readonly role: string
  readonly instance: string
  readonly kind: string
  readonly generation: string
  readonly atMs: number
  readonly body: Readonly<Record<string, unknown>>
}

export type GenerationState =
  'trained' | 'indexed' | 'loaded' | 'caught-up' | 'live' | 'retired' | 'rejected'

/** The one record that says which generation is live. Only the controller writes it. */
export interface ControlDocument {
  readonly epoch: number
  readonly live: string | null
  readonly candidate: string | null
  readonly previous: string | null
  /** Whose files are to stay, in the order in which they were trained. */
  readonly kept: readonly string[]
  /** Day (UTC, YYYY-MM-DD) -> first offset of each examples partition that belongs to the next day. */
  readonly cuts: Readonly<Record<string, readonly number[]>>
  /** Day -> first offset of each items partition that the catalogue of that day does not know. */
  readonly catalogueCuts: Readonly<Record<string, readonly number[]>>
  /** Also of generations that have left `kept`: their files are to go, and they must not come back. */
  readonly states: Readonly<Record<string, GenerationState>>
  /** When `live` went live, 0 for unknown. */
  readonly liveSinceMs: number
}

/**
 * What describes one snapshot of a generation's index, sent after its chunks. A higher revision of the same generation holds the
 * overrides up to `overrideSequence`.
 */
export interface SnapshotManifest {
  readonly kind: 'manifest'
  readonly generation: string
  readonly revision: number
  readonly engine: 'hnswlib' | 'exact'
  readonly dim: number
  readonly items: number
  readonly createdAtMs: number
  readonly parts: readonly SnapshotPart[]
  /** Folder in the artifact store where the parts are files, instead of chunks; null: they are chunks. */
  readonly reference: string | null
  /** Newest override set that is part of this index, 0 for none. */
  readonly overrideSequence: number
  /** recall@100 against exact search on a sample; 1 for an exact index. */
  readonly recall: number
}

export interface SnapshotPart {
  readonly part: string
  /** Of the whole part, not compressed. */
  readonly bytes: number
  readonly chunks: number
  /** Of the whole part, not compressed; lower-case hex. */
  readonly sha256: string
}

/** A piece of a part: one zstd frame that says how long its content is. */
export interface SnapshotChunk {
  readonly kind: 'chunk'
  readonly generation: string
  readonly revision: number
  readonly part: string
  readonly chunk: number
  /** Of `data`; lower-case hex. */
  readonly sha256: string
  readonly data: Buffer
}
