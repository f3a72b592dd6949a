import { encodeReport } from '../records/codec.ts'
import type { ReportBodies } from '../records/reports.ts'
import type { SinkRecord } from '../streams/stage.ts'
import type { LearnerSession } from './learner-session.ts'
import type { LearnerDeps } from './learner.ts'

export function learnerReport(
  { topics, clock, instance }: Pick<LearnerDeps, 'topics' | 'clock' | 'instance'>,
  kind: string,
  generation: string,
  body: Readonly<Record<string, unknown>>,
): SinkRecord {
  const atMs = clock.nowMs()
  const value = encodeReport({ role: 'learner', instance, kind, generation, atMs, body })
  return { topic: topics.reports, key: `learner/${instance}`, value, timestampMs: atMs }
}

/** What is said of the live lineage, and of all how far they are. */
export function learnedBody(
  live: LearnerSession,
  sessions: readonly LearnerSession[],
): Readonly<Record<string, unknown>> & ReportBodies['learned'] {
  const { learner, learnedThrough, lag, overrideSequence } = live
  // Until the one before has handed over, the figures are still with it.
  const scored = sessions.find((session) => session.learner.isEvaluating)?.learner ?? learner
  const { frozen } = learner
  return {
    ...{ learnedThrough, lag, overrideSequence },
    ...(frozen.length === 0 ? {} : { frozen: `${frozen.join(' and ')} rows` }),
    lineages: sessions.map(({ progress }) => progress),
    users: learner.users.table.size,
    items: learner.items.table.size,
    // Examples are counted over all generations, each once, as the figures are; the rest is this generation's.
    counters: { ...learner.counters, examples: scored.evaluatedExamples },
    figures: scored.figures,
  }
}
