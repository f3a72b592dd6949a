import type { Report } from './types.ts'

/**
 * What roles tell the controller, by `role` and `kind` of the report. Roles repeat what is still true with each report, so that one that
 * is lost, or comes before its reader, costs a second and nothing else.
 */
export interface ReportBodies {
  /** compactor/cut: every partition of examples has passed the end of `day`. */
  readonly cut: {
    readonly day: string
    /** First offset of each examples partition that belongs to the next day. */
    readonly examples: readonly number[]
    /** End of each items partition: the catalogue of the day. */
    readonly items: readonly number[]
  }
  /** compactor/training, of the generation in the report: how far the full update is. */
  readonly training: {
    readonly day: string
    /** In [0, 1]. */
    readonly share: number
    readonly etaMs: number | null
  }
  /** compactor/trained: the generation is in the artifact store. */
  readonly trained: {
    readonly day: string
    readonly parent: string | null
    readonly verdict: GateVerdict
    /** One line for people. */
    readonly why: string
  }
  /** indexer/indexed: a snapshot of the generation is on the topic. */
  readonly indexed: {
    readonly revision: number
    readonly items: number
    /** Against exact search on a sample; 1 for an exact index. */
    readonly recall: number
  }
  /** recall/loaded: `generation` is what it serves, or empty. */
  readonly loaded: {
    /** Every generation that it could serve at once. */
    readonly verified: readonly string[]
  }
  /** learner/learned: `generation` is the live one. */
  readonly learned: {
    readonly lineages: readonly Lineage[]
  }
  /** operator/request, of the generation in the report; empty for a rollback to the previous one. Repeated until it is answered. */
  readonly request: {
    readonly action: 'offer' | 'approve' | 'reject' | 'rollback'
    /** Makes a request count once. */
    readonly id: string
    /** What was live when it was asked; empty for nothing. A rollback is from there, so that one that comes twice does nothing twice. */
    readonly live: string
  }
}

/** compactor/archiving, for people: that it is there, and what it is at. */
export interface ArchivingBody {
  /** The day that examples come of; null before the first one. */
  readonly day?: string | null
  /** Records that are not archived yet. */
  readonly lag?: number
  /** The day that cannot be trained, and why; it is tried again. */
  readonly failing?: string
  /** Days wait for a generation that can be trained. */
  readonly waiting?: string
}

/** What the controller tells people. */
export interface ControllerReportBodies {
  /** controller/controlling, each second; `generation` is the live one. */
  readonly controlling: {
    readonly epoch: number
    /** What the candidate waits for, one line each. */
    readonly waitsFor: readonly string[]
    readonly alerts: readonly string[]
    /** 0: no rollback is possible. */
    readonly rollbackUntilMs: number
  }
  /** controller/alert, when it becomes true. */
  readonly alert: { readonly message: string }
  /** controller/accepted: in one transaction with the document that does what was asked, or alone where nothing was left to do. */
  readonly accepted: RequestAnswer
  /** controller/refused: why, and what to do instead. */
  readonly refused: RequestAnswer
}

export interface RequestAnswer {
  /** Of the request. */
  readonly id: string
  readonly message: string
}

export type GateVerdict = 'passed' | 'ungated' | 'failed'

/** How far one generation's online training is. */
export interface Lineage {
  readonly generation: string
  /** Every partition of examples, in order. */
  readonly learnedThrough: readonly {
    readonly partition: number
    /** First offset that is not learnt. */
    readonly offset: number
    /** 0 for unknown. */
    readonly eventTimeMs: number
  }[]
  /** All its rows are in the online store, closed by their sentinels. */
  readonly isLoaded: boolean
}

export type ReportKind = keyof ReportBodies

/** A report whose body has been looked at. */
export type KnownReport = {
  readonly [Kind in ReportKind]: Omit<Report, 'kind' | 'body'> & {
    readonly kind: Kind
    readonly body: ReportBodies[Kind]
  }
}[ReportKind]
