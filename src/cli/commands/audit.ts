import type { Command } from 'commander'
import { addCommonOptions, type CommonOptions } from '../options.ts'
import { parseDay } from './full-update.ts'

export interface AuditOptions extends CommonOptions {
  readonly day: string
  readonly json?: boolean
}

export function addAuditCommand(program: Command): void {
  addCommonOptions(program.command('audit'))
    .description(
      'prove that every example of a day is in the archive exactly once, by the log of Kafka; exits with 1 where it is not',
    )
    .requiredOption('--day <day>', 'a UTC day that has ended, e.g. 2026-01-31', parseDay)
    .option('--json', 'print it as JSON')
    .action(async (options: AuditOptions) => (await import('../audit.ts')).runAuditCommand(options))
}
