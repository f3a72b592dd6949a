import type { ErrorCode } from '../../errors.ts'
import type { FullUpdateJob, FullUpdateOutcome, FullUpdateProgress } from './job.ts'

/** What goes to the thread of full updates. */
export type ThreadRequest =
  | { readonly kind: 'run'; readonly job: FullUpdateJob }
  | { readonly kind: 'abort' }
  | { readonly kind: 'close' }

/** What comes back; a run ends with `done` or `failed`. */
export type ThreadMessage =
  | { readonly kind: 'progress'; readonly progress: FullUpdateProgress }
  | {
      readonly kind: 'log'
      readonly level: 'debug' | 'info' | 'warn' | 'error'
      readonly fields: object
      readonly message: string
    }
  | { readonly kind: 'done'; readonly outcome: FullUpdateOutcome }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string }
