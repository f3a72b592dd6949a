import type { Command } from 'commander'
import { addCommonOptions, wholeNumber, type CommonOptions } from '../options.ts'
import { parseDay } from './full-update.ts'

export interface BackfillCommandOptions extends CommonOptions {
  readonly from: string
  readonly until?: string
  readonly deadLetters?: string
  readonly memory: number
}

export function addBackfillCommand(program: Command): void {
  addCommonOptions(program.command('backfill'))
    .description(
      'fill the archive with days of impressions and clicks from Parquet or Avro files, for `freshet bootstrap`; without Kafka',
    )
    .requiredOption(
      '--from <path>',
      'a folder; what is in it is told by folders or file names that begin with impressions, clicks, items, or a name under `sources:` of the configuration',
    )
    .option('--until <day>', 'last day that is taken (default: yesterday, in UTC)', parseDay)
    .option('--dead-letters <file>', 'JSON lines of what is refused (default: beside the archive)')
    .option('--memory <MiB>', 'of events that are sorted at once', wholeNumber(1, '--memory'), 256)
    .action(async (options: BackfillCommandOptions) =>
      (await import('../backfill.ts')).runBackfillCommand(options),
    )
}
