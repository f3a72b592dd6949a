import type { Command } from 'commander'
import { addCommonOptions, wholeNumber, type CommonOptions } from '../options.ts'
import { parseDay } from './full-update.ts'

export interface EvaluateOptions extends CommonOptions {
  readonly events: string
  readonly days: number
  readonly until?: string
  readonly seeds: number
  readonly json?: string
  readonly svg?: string
}

export function addEvaluateCommand(program: Command): void {
  addCommonOptions(program.command('evaluate'))
    .description(
      'what the daily loop is worth on your own events: recall by sync interval, beside baselines; without Kafka and Redis',
    )
    .requiredOption(
      '--events <path>',
      'what --events of start takes: a MovieTweetings folder, JSON lines',
    )
    .option('--days <count>', 'last days to ask about', wholeNumber(1, '--days'), 14)
    .option(
      '--until <day>',
      'first day that is left out (default: the last one, which may not be whole)',
      parseDay,
    )
    .option(
      '--seeds <count>',
      'runs from different random parameters',
      wholeNumber(1, '--seeds'),
      3,
    )
    .option('--json <file>', 'write every figure as JSON')
    .option('--svg <file>', 'draw recall@50 by sync interval')
    .action(async (options: EvaluateOptions) =>
      (await import('../evaluate/evaluate.ts')).runEvaluate(options),
    )
}
