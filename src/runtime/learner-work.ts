import type { Cut } from '../streams/learner-types.ts'
import type { Piece } from './learner-intake.ts'
import type { LearnerMeter } from './learner-meter.ts'
import type { LearnerParts, SharedParts } from './learner-open.ts'
import { decodeCatalogue, decodeExamples } from './learner-records.ts'
import type { Decoded } from './learner-records.ts'
import type { LearnerDeps } from './learner.ts'

/** Applies pieces of the topics, each as one cut: dead letters and the cut log first. */
export class LearnerWork {
  readonly #deps: LearnerDeps & SharedParts
  readonly #parts: LearnerParts
  readonly #meter: LearnerMeter

  constructor(deps: LearnerDeps & SharedParts, parts: LearnerParts, meter: LearnerMeter) {
    this.#deps = deps
    this.#parts = parts
    this.#meter = meter
  }

  async applyCatalogue({ records, ...cut }: Piece): Promise<void> {
    const { values, deadLetters } = decodeCatalogue(records, this.#deps.topics.deadLetters)
    await this.#prepare(cut, deadLetters)
    await this.#parts.learner.applyCatalogue(cut, values)
    this.#meter.applied(
      records,
      values.map(({ itemId }) => itemId),
      false,
    )
  }

  /** @param casesMax evaluates at most so many examples, where this lineage evaluates at all */
  async applyExamples(
    { records, ...cut }: Piece,
    casesMax: number,
  ): Promise<{ examples: number; eventTimeMs: number; cases: number }> {
    const { values, deadLetters } = decodeExamples(records, this.#deps.topics.deadLetters)
    await this.#prepare(cut, deadLetters)
    const cases = await this.#parts.learner.applyExamples(cut, values, casesMax)
    const examples = values.flatMap(({ record }) => (record.kind === 'example' ? [record] : []))
    const offsets = new Set(values.flatMap((v) => (v.record.kind === 'example' ? [v.offset] : [])))
    this.#meter.applied(
      records.filter(({ offset }) => offsets.has(offset)),
      examples.map(({ itemId }) => itemId),
      true,
    )
    const eventTimeMs = examples.reduce((latest, each) => Math.max(latest, each.eventTimeMs), 0)
    return { examples: examples.length, eventTimeMs, cases }
  }

  /** Dead letters before the cut: a crash between the two repeats them, none is lost. */
  async #prepare(cut: Cut, deadLetters: Decoded<unknown>['deadLetters']): Promise<void> {
    for (const { reason } of await this.#parts.owner.refuse(cut, deadLetters)) {
      this.#deps.metrics.deadLetters.inc({ role: 'learner', reason })
    }
    await this.#parts.cutLog.append(cut)
  }
}
