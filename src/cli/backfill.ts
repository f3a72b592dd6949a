import {
  runBackfill,
  type BackfillProgress,
  type BackfillReport,
} from '../runtime/backfill/backfill.ts'
import { openDirectoryStore } from '../runtime/generation/artifact-store.ts'
import { beginOf, dayNamed, dayOf } from '../streams/day-cut.ts'
import type { BackfillCommandOptions } from './commands/backfill.ts'
import { effectiveConfig, type CommonOptions } from './options.ts'
import { count, everySoOften } from './progress.ts'
import { Screen } from './screen.ts'
import { stopSignal } from './stop-signal.ts'

/** `freshet backfill` */
export async function runBackfillCommand(options: BackfillCommandOptions): Promise<void> {
  const config = effectiveConfig(options)
  const screen = new Screen(process.stderr)
  const nowMs = Date.now()
  const end = options.until === undefined ? dayOf(nowMs)! : dayNamed(options.until) + 1
  const report = await runBackfill({
    ...{ from: options.from, config, nowMs, endMs: beginOf(end) },
    store: openDirectoryStore(config.artifacts.dir),
    deadLetters: options.deadLetters,
    memoryBytes: options.memory * 2 ** 20,
    signal: stopSignal((message) => screen.log(`${message}\n`)),
    onProgress: progressOn(screen),
  }).finally(() => {
    screen.draw([])
    screen.end()
  })
  process.stdout.write(describe(report, options))
}

function progressOn(screen: Screen): (progress: BackfillProgress) => void {
  const show = everySoOften(screen)
  let phase = ''
  let startedAt = 0
  return (progress) => {
    if (progress.phase !== phase) {
      phase = progress.phase
      startedAt = performance.now()
    }
    const seconds = Math.max(0.001, (performance.now() - startedAt) / 1_000)
    const rate = `${count(Math.round(progress.count / seconds))}/s`
    const { files, filesAll, days } = progress
    show(
      phase === 'reading'
        ? `reading: ${count(progress.count)} rows, ${rate}, ${files} of ${filesAll} files`
        : `joining: ${count(progress.count)} events, ${rate}, ${days.length} days done`,
    )
  }
}

function describe(report: BackfillReport, options: CommonOptions): string {
  const { impression, click, item, leftOut, duplicates, conflicts, evictions } = report
  const lines = [
    `${count(report.files)} files, ${count(report.rows)} rows: ${count(impression)} impressions, ${count(click)} clicks, ${count(item)} items`,
    ...report.passedOver.map((file) => `passed over ${file}: its name does not say what it holds`),
    ...some(leftOut, 'left out: their day has not ended, or is after --until'),
    ...some(duplicates, 'repeats of what was there already'),
    ...some(conflicts, 'impressions with the request id of another one: the first stands'),
    ...some(evictions, 'requests closed early: joiner.openImpressionsMax'),
    ...report.days.map(
      ({ day, examples, wasThere }) =>
        `  ${day}  ${count(examples).padStart(12)} examples${wasThere ? ', sealed before' : ''}`,
    ),
    ...[...report.deadLetters].map(([code, refused]) => `  ${code}  ${count(refused)} refused`),
  ]
  if (report.deadLetters.size > 0) lines.push(`what was refused, and why: ${report.deadLetterFile}`)
  const trainable = report.days.filter(({ examples }) => examples > 0)
  lines.push(
    trainable.length === 0
      ? 'no click has met its impression: there is nothing to train'
      : `next: ${bootstrapCommand(trainable[0]!.day, trainable.at(-1)!.day, options)}`,
  )
  return `${lines.join('\n')}\n`
}

function some(number: number, what: string): string[] {
  return number === 0 ? [] : [`${count(number)} ${what}`]
}

/** With the same configuration, so that it works as it stands. */
function bootstrapCommand(first: string, last: string, { config, set }: CommonOptions): string {
  return [
    `npx freshet bootstrap --days ${first}..${last}`,
    ...(config ?? []).map((file) => `--config ${quoted(file)}`),
    ...(set ?? []).map((setting) => `--set ${quoted(setting)}`),
  ].join(' ')
}

function quoted(word: string): string {
  return /^[\w./:=-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`
}
