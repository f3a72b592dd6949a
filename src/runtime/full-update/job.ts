import { createHash } from 'node:crypto'
import type { Config } from '../../config/schema.ts'
import type { GateVerdict } from '../../records/reports.ts'
import type { EngineName } from '../engines/index.ts'
import type { GenerationCuts } from '../generation/generation.ts'

/** One full update, as plain data: it goes to another thread. */
export interface FullUpdateJob {
  /** Where the archive and the generations are. */
  readonly artifactsDir: string
  /** Where checkpoints and shuffled files go, in `full-update/<day>/`. */
  readonly stateDir: string
  /** UTC, YYYY-MM-DD */
  readonly day: string
  /** Id of the generation to start from. */
  readonly parent: string
  /** Id of the generation to make: `fullGenerationId(day, parent)`. */
  readonly generation: string
  /** First offsets behind the day, which go into the manifest; null where they are not known. */
  readonly cuts: GenerationCuts | null
  readonly engine: EngineName
  /** `model.seed` of the configuration. */
  readonly seed: number
  readonly full: Config['full']
  readonly learner: LearnerPart
}

/** Settings that the full update shares with the learner. */
export type LearnerPart = Pick<
  Config['learner'],
  'gradientNormMax' | 'rowNormMax' | 'expireAfterMs' | 'popularityShare' | 'popularityHalfLifeMs'
>

export interface FullUpdateProgress {
  /** In [0, 1]. */
  readonly share: number
  /** null while it cannot be told. */
  readonly etaMs: number | null
  /** Trained so far. */
  readonly examples: number
}

export interface FullUpdateHooks {
  /** At most a few times a second. */
  readonly onProgress: (progress: FullUpdateProgress) => void
  readonly signal: AbortSignal
}

export interface FullUpdateOutcome {
  readonly generation: string
  /** Examples of the day. */
  readonly examples: number
  readonly verdict: GateVerdict
  /** One line for people. */
  readonly why: string
}

/** The same day from the same parent is the same generation: whoever makes it again finds it there. */
export function fullGenerationId(day: string, parent: string): string {
  const hash = createHash('sha256').update(`${parent} ${day}`).digest('hex')
  return `full-${day}-${hash.slice(0, 8)}`
}

/** The day that the id of a generation says it has learnt last. */
export function dayInId(id: string): string | null {
  return /^(?:full|imported)-(\d{4}-\d\d-\d\d)-/.exec(id)?.[1] ?? null
}

/** What a full update of a day needs of the configuration. */
export function fullUpdateJob(
  config: Pick<Config, 'artifacts' | 'stateDir' | 'model' | 'full' | 'learner'>,
  what: Pick<FullUpdateJob, 'day' | 'parent' | 'cuts'>,
): FullUpdateJob {
  const { gradientNormMax, rowNormMax, expireAfterMs } = config.learner
  const { popularityShare, popularityHalfLifeMs } = config.learner
  return {
    ...what,
    generation: fullGenerationId(what.day, what.parent),
    artifactsDir: config.artifacts.dir,
    stateDir: config.stateDir,
    engine: config.model.engine,
    seed: config.model.seed,
    full: config.full,
    learner: {
      ...{ gradientNormMax, rowNormMax, expireAfterMs, popularityShare, popularityHalfLifeMs },
    },
  }
}
