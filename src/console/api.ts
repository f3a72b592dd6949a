/** What /console/api answers, as the page reads it: without imports, as the page is compiled on its own. Times are milliseconds since 1970; null: not known. */

export type Maybe = number | null
/** As in metrics/metrics.ts. */
export type DelayStage = 'ingest' | 'joiner' | 'learner' | 'visible'

/** Where metrics are read, and why they could not be; null: they were. */
export interface MetricsSource {
  readonly name: string
  readonly problem: string | null
}

/** Columns of equal length, one entry for each moment of `atMs`. */
export interface Series {
  readonly atMs: readonly number[]
  readonly delays: Readonly<
    Record<DelayStage, { readonly p50Ms: readonly Maybe[]; readonly p99Ms: readonly Maybe[] }>
  >
  readonly recallAt50: readonly Maybe[]
  readonly recallAt100: readonly Maybe[]
  readonly popularityAt50: readonly Maybe[]
  readonly popularityAt100: readonly Maybe[]
  readonly annRecall: readonly Maybe[]
  readonly loss: readonly Maybe[]
  readonly eventsPerSecond: readonly Maybe[]
  readonly examplesPerSecond: readonly Maybe[]
  readonly repliesPerSecond: readonly Maybe[]
}

/** The newest of each; delays and rates are of the last ten seconds. */
export interface Figures {
  readonly delays: Readonly<Record<DelayStage, { readonly p50Ms: Maybe; readonly p99Ms: Maybe }>>
  readonly recallAt50: Maybe
  readonly recallAt100: Maybe
  readonly popularityAt50: Maybe
  readonly popularityAt100: Maybe
  /** Since the processes started. */
  readonly annRecall: Maybe
  readonly loss: Maybe
  readonly eventsPerSecond: Maybe
  readonly examplesPerSecond: Maybe
  readonly repliesPerSecond: Maybe
  readonly events: number
  readonly examples: number
  readonly deadLetters: number
}

export interface TimelineEvent {
  readonly atMs: number
  readonly event: string
  readonly generation: string
  readonly message: string
}

export interface Overview {
  readonly atMs: number
  readonly sources: readonly MetricsSource[]
  readonly series: Series
  /** null: nothing has been read yet. */
  readonly now: Figures | null
  readonly live: string | null
  readonly liveSinceMs: Maybe
  readonly candidate: string | null
  readonly waitsFor: readonly string[]
  readonly alerts: readonly string[]
  /** Newest first. */
  readonly events: readonly TimelineEvent[]
}

export interface Milestone {
  readonly name: 'cut' | 'trained' | 'indexed' | 'loaded' | 'caught up' | 'live'
  readonly isReached: boolean
  readonly atMs: Maybe
  readonly detail: string
}

export type Standing = 'live' | 'candidate' | 'previous' | 'rejected' | 'kept' | 'unknown'

export interface GenerationView {
  readonly id: string
  readonly standing: Standing
  readonly state: string | null
  readonly kind: 'bootstrap' | 'full' | 'imported' | null
  readonly parent: string | null
  readonly day: string | null
  readonly createdAtMs: Maybe
  readonly bytes: Maybe
  readonly users: Maybe
  readonly items: Maybe
  readonly training: {
    readonly examples: number
    readonly steps: number
    readonly seconds: number
    readonly loss: number
  } | null
  readonly gate: {
    readonly verdict: string
    readonly why: string
    readonly examples: number
    readonly difference: Maybe
    readonly interval: readonly [number, number] | null
  } | null
  readonly index: { readonly items: number; readonly recall: number } | null
  readonly pods: readonly { readonly instance: string; readonly serves: boolean }[]
  /** Empty for a generation that is not on its way and not live. */
  readonly milestones: readonly Milestone[]
  readonly problem: string | null
}

export interface Generations {
  readonly atMs: number
  readonly epoch: Maybe
  /** Newest first. */
  readonly generations: readonly GenerationView[]
  readonly waitsFor: readonly string[]
  readonly rollbackUntilMs: Maybe
  readonly podsHeard: number
  /** A full update under way. */
  readonly training: {
    readonly generation: string
    readonly day: string
    readonly share: number
  } | null
}

export interface TitledItem {
  readonly itemId: string
  readonly title: string
}

export interface RowView {
  readonly standing: 'live' | 'candidate' | 'previous'
  readonly generation: string
  /** False: the rows of this generation are not all in the online store. */
  readonly isLoaded: boolean
  readonly hasRow: boolean
  readonly userEventTimeMs: Maybe
  readonly learnedThroughMs: Maybe
  /** What a search among all its vectors finds; null where it cannot be had, see `problem`. */
  readonly top: readonly (TitledItem & { readonly score: number })[] | null
  readonly problem: string | null
}

export interface ClickView extends TitledItem {
  readonly requestId: string
  readonly eventTimeMs: number
  readonly arrivedMs: number
}

export interface UserView {
  readonly atMs: number
  readonly userId: string
  readonly partition: number
  readonly reply: {
    readonly status: string
    readonly message: string
    readonly generation: string
    readonly overrideSequence: number
    readonly userEventTimeMs: Maybe
    readonly learnedThroughMs: Maybe
    readonly latencyMs: number
    readonly items: readonly (TitledItem & { readonly score: number })[]
  } | null
  readonly replyProblem: string | null
  readonly rows: readonly RowView[]
  /** As the row of the live generation has them, newest first. */
  readonly recentItems: readonly TitledItem[]
  /** From the examples topic, newest first. */
  readonly clicks: readonly ClickView[]
  readonly lastRequest: {
    readonly requestId: string
    readonly eventTimeMs: number
    readonly scenario: string
    readonly features: readonly { readonly name: string; readonly value: string }[]
  } | null
  /** How far back in the topics was looked. */
  readonly scanned: string
}

export interface PassportStep {
  readonly name: string
  readonly outcome: 'done' | 'waiting' | 'unknown'
  /** When it happened by the clock; null: not recorded. */
  readonly atMs: Maybe
  /** Since the arrival of the click. */
  readonly sinceArrivalMs: Maybe
  readonly text: string
  readonly command: string
}

export interface Passport {
  readonly userId: string
  readonly requestId: string
  readonly itemId: string | null
  readonly title: string
  readonly steps: readonly PassportStep[]
}

export interface DeadLetterView {
  readonly offset: number
  readonly atMs: number
  readonly code: string
  readonly message: string
  readonly remedy: string
  readonly role: string
  readonly sourceTopic: string
  readonly sourcePartition: number
  readonly sourceOffset: number
  readonly key: string | null
  readonly bytes: number
  /** null: the original is not text. */
  readonly text: string | null
  /** Of its first bytes. */
  readonly hex: string
  readonly isCut: boolean
}

export interface DeadLetters {
  readonly atMs: number
  readonly total: number
  /** Of the newest letters that were looked at. */
  readonly looked: number
  readonly reasons: readonly {
    readonly code: string
    readonly count: number
    readonly remedy: string
  }[]
  /** Newest first. */
  readonly letters: readonly DeadLetterView[]
  readonly unreadable: number
}

export interface MapPoint extends TitledItem {
  readonly category: string
  readonly x: number
  readonly y: number
}

export interface ItemMap {
  readonly atMs: number
  readonly generation: string
  /** In the generation. */
  readonly items: number
  readonly points: readonly MapPoint[]
  /** Share of the variance that the two axes hold. */
  readonly shares: readonly [number, number]
  readonly user: {
    readonly userId: string
    readonly hasRow: boolean
    readonly x: number
    readonly y: number
    /** Best first. */
    readonly top: readonly (MapPoint & { readonly score: number })[]
  } | null
}

export interface ApiProblem {
  readonly error: { readonly code: string; readonly message: string }
}
