import type { Command } from 'commander'
import { InvalidArgumentError } from 'commander'
import { addCommonOptions, type CommonOptions } from '../options.ts'

export interface FullUpdateOptions extends CommonOptions {
  readonly day: string
  readonly parent?: string
}

export function addFullUpdateCommand(program: Command): void {
  addCommonOptions(program.command('full-update'))
    .description(
      'train a new generation on one day of the archive, from the parameters of the one before; from files alone, without Kafka',
    )
    .requiredOption('--day <day>', 'a UTC day of the archive, e.g. 2026-01-31', parseDay)
    .option(
      '--parent <generation>',
      'generation to start from (default: the newest one before the day that has not failed its gate)',
    )
    .action(async (options: FullUpdateOptions) =>
      (await import('../full-update.ts')).runFullUpdateCommand(options),
    )
}

export function parseDay(value: string): string {
  const isDay =
    /^\d{4}-\d{2}-\d{2}$/.test(value) &&
    new Date(`${value}T00:00:00Z`).toJSON()?.slice(0, 10) === value
  if (!isDay) throw new InvalidArgumentError('It must be a day, e.g. 2026-01-31.')
  return value
}
