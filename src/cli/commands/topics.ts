import type { Command } from 'commander'
import { addCommonOptions, type CommonOptions } from '../options.ts'

export interface TopicsOptions extends CommonOptions {
  readonly topic?: string
  readonly dryRun?: boolean
}

export function addTopicsCommand(program: Command): void {
  addCommonOptions(program.command('topics'))
    .description(
      'make the topics that are missing, and bring the settings of the others to what freshet needs',
    )
    .option('--topic <name>', 'only this one')
    .option('--dry-run', 'only say what would be changed')
    .action(async (options: TopicsOptions) =>
      (await import('../topics.ts')).runTopicsCommand(options),
    )
}
