import type { Command } from 'commander'
import { addCommonOptions, wholeNumber, type CommonOptions } from '../options.ts'
import { parseDay } from './full-update.ts'

export interface ImportCommandOptions extends CommonOptions {
  readonly id?: string
  readonly day?: string
  /** False with --no-offer. */
  readonly offer: boolean
  readonly timeout: number
}

export function addExchangeCommands(program: Command): void {
  addCommonOptions(program.command('export'))
    .description('copy a generation, checked, into a folder that other tools can read')
    .argument('<generation>')
    .argument('<dir>', 'a new or empty folder')
    .action(async (generation: string, dir: string, options: CommonOptions) =>
      (await import('../exchange.ts')).runExportCommand(generation, dir, options),
    )
  addCommonOptions(program.command('import'))
    .description(
      'take in a two-tower that was trained elsewhere: check it, write it as a generation, and let it go live',
    )
    .argument('<dir>', 'a folder as docs/import.md describes it')
    .option('--id <id>', 'of the generation (default: of its day and what it holds)')
    .option(
      '--day <day>',
      'last day it has learnt: it catches up from the end of that day (default: day of its manifest; none: from the oldest example)',
      parseDay,
    )
    .option('--no-offer', 'write it only; freshet approve lets it go live later')
    .option(
      '--timeout <ms>',
      'how long to wait for the controller',
      wholeNumber(1, '--timeout'),
      15_000,
    )
    .action(async (dir: string, options: ImportCommandOptions) =>
      (await import('../exchange.ts')).runImportCommand(dir, options),
    )
}
