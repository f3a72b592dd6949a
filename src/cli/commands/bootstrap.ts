import type { Command } from 'commander'
import { InvalidArgumentError } from 'commander'
import { addCommonOptions, type CommonOptions } from '../options.ts'
import { parseDay } from './full-update.ts'

export interface BootstrapOptions extends CommonOptions {
  readonly days: DayRange
}

export interface DayRange {
  readonly first: string
  readonly last: string
}

export function addBootstrapCommand(program: Command): void {
  addCommonOptions(program.command('bootstrap'))
    .description(
      'cold start: train a generation from random parameters on days of the archive, one pass over each in order; from files alone',
    )
    .requiredOption('--days <first..last>', 'e.g. 2026-01-01..2026-01-31', parseDays)
    .action(async (options: BootstrapOptions) =>
      (await import('../full-update.ts')).runBootstrapCommand(options),
    )
}

function parseDays(value: string): DayRange {
  const [first, last, ...more] = value.split('..')
  if (first === undefined || last === undefined || more.length > 0) {
    throw new InvalidArgumentError('It must be two days, e.g. 2026-01-01..2026-01-31.')
  }
  const range = { first: parseDay(first), last: parseDay(last) }
  if (range.first > range.last) throw new InvalidArgumentError('The first day is after the last.')
  return range
}
