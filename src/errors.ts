/** What the runtime does with an error of a given code. */
export type Disposition = 'retry' | 'dead-letter' | 'fatal'

/**
 * The closed table of everything that can go wrong. `dead-letter` codes are also the reasons written to the
 * dead letter topic, so they are a public contract: never rename one, only add.
 */
const dispositions = {
  // Records
  RECORD_UNDECODABLE: 'dead-letter',
  RECORD_INVALID: 'dead-letter',
  RECORD_TOO_LARGE: 'dead-letter',
  SCHEMA_UNKNOWN: 'dead-letter',
  EVENT_TIME_IN_FUTURE: 'dead-letter',
  EVENT_TIME_AHEAD: 'dead-letter',
  IMPRESSION_LATE: 'dead-letter',
  CLICK_LATE: 'dead-letter',
  CLICK_UNMATCHED: 'dead-letter',
  CLICK_EVICTED: 'dead-letter',
  CLICK_OUTSIDE_WINDOW: 'dead-letter',
  CLICK_NOT_SHOWN: 'dead-letter',
  CLICK_OTHER_USER: 'dead-letter',
  REPLY_TOPIC_UNKNOWN: 'dead-letter',
  // Configuration and files
  CONFIG_INVALID: 'fatal',
  USAGE_INVALID: 'fatal',
  FILE_MISSING: 'fatal',
  FILE_INVALID: 'fatal',
  PORT_TAKEN: 'fatal',
  ALREADY_RUNNING: 'fatal',
  SERVER_FAILED: 'fatal',
  TOOL_MISSING: 'fatal',
  GENERATION_INVALID: 'fatal',
  GENERATION_FROZEN: 'fatal',
  CHECKPOINT_INVALID: 'fatal',
  TOPIC_INVALID: 'fatal',
  // Other systems
  BROKER_UNAVAILABLE: 'retry',
  REDIS_UNAVAILABLE: 'retry',
  PRODUCER_FENCED: 'retry',
  SNAPSHOT_INVALID: 'retry',
  TIMEOUT: 'retry',
  OVERLOADED: 'retry',
  ABORTED: 'retry',
  STOP_UNFINISHED: 'fatal',
  // Ourselves
  INVARIANT_VIOLATED: 'fatal',
} as const satisfies Record<string, Disposition>

export type ErrorCode = keyof typeof dispositions

/** The one error class. The message names the thing that is wrong and, where there is one, the remedy. */
export class FreshetError extends Error {
  readonly code: ErrorCode
  /** Of a record: the field that is wrong, e.g. `items[2]`. */
  readonly field: string | undefined

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown; field?: string }) {
    super(message, options)
    this.name = 'FreshetError'
    this.code = code
    this.field = options?.field
  }

  get disposition(): Disposition {
    return dispositions[this.code]
  }
}

/** A programmer's error when `condition` is false; never caught. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new FreshetError('INVARIANT_VIOLATED', message)
}

/** The message of anything thrown, for a log line or a wrapped error. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
