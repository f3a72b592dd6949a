export type Verdict = 'passed' | 'ungated' | 'failed'

export interface GateFigures {
  readonly verdict: Verdict
  /** One line for people. */
  readonly why: string
  readonly examples: number
  /** Mean AUC of the new generation minus that of its parent, on the same examples; null without any. */
  readonly difference: number | null
  /** 95 % */
  readonly interval: [number, number] | null
}

export interface GateOptions {
  readonly gateMinExamples: number
  readonly maxRegression: number
}

/** Sums of a paired comparison, example by example. */
export class Gate {
  examples = 0
  #auc = 0
  #parentAuc = 0
  #difference = 0
  #squares = 0

  /** @param sums of an earlier one, to go on from */
  constructor(sums?: readonly number[]) {
    if (sums === undefined) return
    const [examples, auc, parentAuc, difference, squares] = sums as [
      number,
      number,
      number,
      number,
      number,
    ]
    this.examples = examples
    this.#auc = auc
    this.#parentAuc = parentAuc
    this.#difference = difference
    this.#squares = squares
  }

  get sums(): readonly number[] {
    return [this.examples, this.#auc, this.#parentAuc, this.#difference, this.#squares]
  }

  add(auc: number, parentAuc: number): void {
    const difference = auc - parentAuc
    this.examples++
    this.#auc += auc
    this.#parentAuc += parentAuc
    this.#difference += difference
    this.#squares += difference * difference
  }

  /**
   * Rejects only what is worse by more than `maxRegression` with 95 % confidence, by the normal interval of the mean paired difference, and only
   * on enough examples.
   */
  judge({ gateMinExamples, maxRegression }: GateOptions): GateFigures {
    const n = this.examples
    if (n === 0) {
      const none = { difference: null, interval: null }
      return { verdict: 'ungated', why: 'nothing to compare on', examples: 0, ...none }
    }
    const difference = this.#difference / n
    const variance = n > 1 ? (this.#squares - n * difference * difference) / (n - 1) : 0
    const half = 1.96 * Math.sqrt(Math.max(0, variance) / n)
    const interval: [number, number] = [difference - half, difference + half]
    const isWorse = interval[1] < -maxRegression
    const verdict = n < gateMinExamples ? 'ungated' : isWorse ? 'failed' : 'passed'
    const auc = this.#auc / n
    const parentAuc = this.#parentAuc / n
    const figures = `AUC ${auc.toFixed(4)} against ${parentAuc.toFixed(4)} of its parent, difference ${difference.toFixed(4)} [${interval[0].toFixed(4)}, ${interval[1].toFixed(4)}] on ${n} examples`
    const few = verdict === 'ungated' ? `, fewer than ${gateMinExamples}` : ''
    return {
      ...{ verdict, examples: n, difference, interval },
      why: `${figures}${few}`,
    }
  }
}

/**
 * Share of the other candidates that score below the own one, ties half: AUC of one example.
 * @param scores row of n scores from `from` on
 */
export function aucOf(scores: Float32Array, from: number, n: number, own: number): number {
  const score = scores[from + own]!
  let below = 0
  let ties = -1
  for (let i = from; i < from + n; i++) {
    if (scores[i]! < score) below++
    else if (scores[i]! === score) ties++
  }
  return n < 2 ? 0.5 : (below + ties / 2) / (n - 1)
}
