import { hash32, mix32 } from '../../model/hash.ts'
import type { FullOptions } from '../../streams/full-update.ts'
import type { FullUpdateJob } from './job.ts'

const stepsMin = 200
const batchMin = 8
const batchMax = 1_024

/** Of the shuffle and of every random choice: another day, another order. */
export function seedOf({ day, seed }: Pick<FullUpdateJob, 'day' | 'seed'>): number {
  return hash32(day, mix32(seed))
}

/** Examples a step; `auto`: so that a day has 200 steps or more, within 8 and 1024. */
export function batchOf(batch: number | 'auto', examples: number): number {
  if (batch !== 'auto') return batch
  return Math.min(batchMax, Math.max(batchMin, Math.floor(examples / stepsMin)))
}

/** @param examples of the day */
export function fullOptions(
  job: Pick<FullUpdateJob, 'day' | 'seed' | 'full' | 'learner'>,
  examples: number,
): FullOptions {
  const { full, learner } = job
  const { loss, logQ, candidates, learningRate, rowLearningRate, userDropout, itemDropout } = full
  const { frequencyRate, gateMinExamples, maxRegression } = full
  const { gradientNormMax, rowNormMax, expireAfterMs } = learner
  const batch = batchOf(full.batch, examples)
  const gateExamples = Math.floor(full.gateShare * examples)
  return {
    ...{ loss, logQ, learningRate, rowLearningRate, userDropout, itemDropout },
    ...{ frequencyRate, gateMinExamples, maxRegression },
    ...{ gradientNormMax, rowNormMax, expireAfterMs },
    batch,
    negatives: Math.max(0, candidates - batch),
    gateFrom: examples - gateExamples,
    gateEvery: Math.max(1, Math.ceil(gateExamples / full.gateMaxExamples)),
    seed: seedOf(job),
  }
}
