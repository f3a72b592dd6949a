import { countRank, newFigures, type RecallFigures } from '../../model/evaluation.ts'

/** Of one model on the cases of a protocol; cases of fresh items are among all. */
export interface ModelFigures {
  readonly all: RecallFigures
  readonly fresh: RecallFigures
}

export function newModelFigures(): ModelFigures {
  return { all: newFigures(), fresh: newFigures() }
}

/** @param rank null: the item could not be recalled */
export function countCase(figures: ModelFigures, rank: number | null, isFresh: boolean): void {
  countRank(figures.all, rank, 0)
  if (isFresh) countRank(figures.fresh, rank, 0)
}

/** Shares of the cases. */
export interface Scores {
  readonly recallAt50: number
  readonly recallAt100: number
  /** Mean reciprocal rank, of ranks up to 100. */
  readonly mrr: number
  readonly freshRecallAt100: number
}

export function scoresOf({ all, fresh }: ModelFigures): Scores {
  const share = (part: number, { cases }: RecallFigures) => part / Math.max(1, cases)
  return {
    recallAt50: share(all.hitsAt50, all),
    recallAt100: share(all.hitsAt100, all),
    mrr: share(all.reciprocalRanks, all),
    freshRecallAt100: share(fresh.hitsAt100, fresh),
  }
}

export function meanScores(of: readonly Scores[]): Scores {
  const mean = (key: keyof Scores) => of.reduce((sum, each) => sum + each[key], 0) / of.length
  return {
    recallAt50: mean('recallAt50'),
    recallAt100: mean('recallAt100'),
    mrr: mean('mrr'),
    freshRecallAt100: mean('freshRecallAt100'),
  }
}
