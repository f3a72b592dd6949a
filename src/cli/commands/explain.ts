import type { Command } from 'commander'
import { FreshetError } from '../../errors.ts'
import { addCommonOptions, effectiveConfig, wholeNumber, type CommonOptions } from '../options.ts'

interface ExplainCommandOptions extends CommonOptions {
  readonly user?: string
  readonly item?: string
  readonly clicks: number
  readonly last: number
  readonly k: number
  readonly json?: boolean
}

export function addExplainCommand(program: Command): void {
  addCommonOptions(program.command('explain'))
    .description(
      'say what is behind the recall of a user: generation, row, what became of each click; and where an item stands, or why it is absent',
    )
    .option('-u, --user <id>', 'user id (required)')
    .option('-i, --item <id>', 'an item that is missing, or not where it should be')
    .option('-n, --clicks <count>', 'how many of the newest clicks', wholeNumber(1, '--clicks'), 10)
    .option(
      '--last <count>',
      'how many of the newest records of each partition are read',
      wholeNumber(1, '--last'),
      100_000,
    )
    .option('-k <count>', 'length of the reply', wholeNumber(1, '-k'), 100)
    .option('--json', 'print it as JSON')
    .action(async (options: ExplainCommandOptions) => {
      const { user, item = null, clicks, last, k, json } = options
      if (user === undefined)
        throw new FreshetError('USAGE_INVALID', 'whose recall? Give --user ID')
      const { explainCommand } = await import('../explain-command.ts')
      await explainCommand(effectiveConfig(options), { user, item, clicks, last, k }, json === true)
    })
}
