import { Option, type Command } from 'commander'
import { addCommonOptions, wholeNumber, type CommonOptions } from '../options.ts'
import { parseDay } from './full-update.ts'

export interface EvaluateOptions extends CommonOptions {
  readonly protocol: 'temporal' | 'fixed-split'
  readonly events?: string
  readonly days: number
  readonly until?: string
  readonly seeds: number
  readonly rankWith: 'memory' | 'pods'
  readonly train?: string
  readonly test?: string
  readonly epochs: number
  readonly json?: string
  readonly svg?: string
}

export function addEvaluateCommand(program: Command): void {
  addCommonOptions(program.command('evaluate'))
    .description(
      'what the daily loop is worth on your own events: recall by sync interval, beside baselines; without Kafka and Redis, unless --rank-with pods',
    )
    .addOption(
      new Option(
        '--protocol <name>',
        'temporal: day by day; fixed-split: the trainer alone, on published splits',
      )
        .choices(['temporal', 'fixed-split'])
        .default('temporal'),
    )
    .option(
      '--events <path>',
      'temporal: what --events of start takes: a MovieTweetings folder, JSON lines',
    )
    .option('--days <count>', 'temporal: last days to ask about', wholeNumber(1, '--days'), 14)
    .option(
      '--until <day>',
      'temporal: first day that is left out (default: the last one, which may not be whole)',
      parseDay,
    )
    .option(
      '--seeds <count>',
      'temporal: runs from different random parameters',
      wholeNumber(1, '--seeds'),
      3,
    )
    .addOption(
      new Option(
        '--rank-with <what>',
        'temporal: memory; pods: ask full + incremental at one hour of a recall pod as well, on Kafka and Redis of its own, and fail where the two do not agree',
      )
        .choices(['memory', 'pods'])
        .default('memory'),
    )
    .option('--train <file>', 'fixed-split: a line a user, its id and those of its items')
    .option('--test <file>', 'fixed-split: likewise, what is to be found')
    .option(
      '--epochs <count>',
      'fixed-split: passes over the training pairs',
      wholeNumber(1, '--epochs'),
      20,
    )
    .option('--json <file>', 'write every figure as JSON')
    .option('--svg <file>', 'temporal: draw recall@50 by sync interval')
    .action(async (options: EvaluateOptions) =>
      options.protocol === 'temporal'
        ? (await import('../evaluate/temporal-command.ts')).runTemporal(options)
        : (await import('../evaluate/fixed-split-command.ts')).runFixedSplit(options),
    )
}
