import { writeFile } from 'node:fs/promises'
import { FreshetError, messageOf } from '../errors.ts'
import type { RecallFigures } from '../model/evaluation.ts'
import type { ComparedFigures } from '../streams/comparison.ts'
import type { FullUpdateFacts } from './day-turns.ts'
import type { Figures } from './figures.ts'
import type { ProbeCounts } from './recall-probe.ts'
import type { Learned } from './report-watch.ts'

export interface RunFacts {
  readonly input: string
  readonly figures: Figures
  readonly learned: Learned | null
  readonly fullUpdates: readonly FullUpdateFacts[]
  readonly switches: number
  /** Of a probe that asked for recall all the while. */
  readonly probe: ProbeCounts
  /** Null for a replay without end, or one that goes on from before. */
  readonly compared: ComparedFigures | null
  readonly wallSeconds: number
}

/** The report of a run as JSON. @throws FreshetError FILE_INVALID */
export async function writeReport(file: string, facts: RunFacts): Promise<void> {
  await writeFile(file, `${JSON.stringify(reportOf(facts), null, 2)}\n`).catch((cause: unknown) => {
    throw new FreshetError(
      'FILE_INVALID',
      `cannot write the report to ${file}: ${messageOf(cause)}`,
      { cause },
    )
  })
}

function reportOf(facts: RunFacts) {
  const { input, figures, learned, fullUpdates, switches, probe, compared, wallSeconds } = facts
  const { visible } = figures.delays
  return {
    input,
    events: figures.impressions + figures.clicks,
    impressions: figures.impressions,
    clicks: figures.clicks,
    examples: figures.examples,
    learned: learned?.counters.examples ?? 0,
    deadLetters: figures.deadLetters,
    deadLettersByReason: figures.deadLettersByReason,
    duplicates: figures.duplicates,
    // Over every click of the run; the live status shows the newest few thousand.
    scoredClicks: learned?.figures.all.cases ?? 0,
    recallAt50: shareOf(learned?.figures.all, 'hitsAt50'),
    recallAt100: shareOf(learned?.figures.all, 'hitsAt100'),
    popularity24hRecallAt50: shareOf(learned?.figures.popularity24h, 'hitsAt50'),
    annRecall: figures.annRecall,
    generations: fullUpdates.length,
    switches,
    fullUpdateSeconds: round(fullUpdates.reduce((sum, { seconds }) => sum + seconds, 0)),
    mixedReplies: probe.mixed,
    probe,
    // Progressively, on the same cases: every click is ranked before it is learnt.
    comparison:
      compared === null || learned === null
        ? null
        : {
            fullAndIncremental: sharesOf(learned.figures.all),
            fullOnly: sharesOf(compared.fullOnly),
            incrementalOnly: sharesOf(compared.incrementalOnly),
            popularity24h: sharesOf(compared.popularity24h),
            popularity7d: sharesOf(compared.popularity7d),
          },
    fullUpdates,
    visibleDelayP50Ms: visible.p50Ms,
    visibleDelayP99Ms: visible.p99Ms,
    delays: figures.delays,
    generation: figures.generation,
    overrideSequence: figures.overrideSequence,
    wallSeconds,
  }
}

function sharesOf(figures: RecallFigures) {
  return {
    cases: figures.cases,
    recallAt50: shareOf(figures, 'hitsAt50'),
    recallAt100: shareOf(figures, 'hitsAt100'),
    mrrAt100: shareOf(figures, 'reciprocalRanks'),
  }
}

function shareOf(
  figures: RecallFigures | undefined,
  sum: 'hitsAt50' | 'hitsAt100' | 'reciprocalRanks',
): number | null {
  return figures === undefined || figures.cases === 0 ? null : figures[sum] / figures.cases
}

function round(seconds: number): number {
  return Math.round(seconds * 100) / 100
}
