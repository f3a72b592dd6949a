import type { Command } from 'commander'
import { addCommonOptions, type CommonOptions } from '../options.ts'

export interface GenerationsOptions extends CommonOptions {
  readonly json?: boolean
}

export function addGenerationsCommand(program: Command): void {
  addCommonOptions(program.command('generations'))
    .description(
      'list the generations in the artifact store, with what each was trained on and its state',
    )
    .option('--json', 'print them as JSON')
    .action(async (options: GenerationsOptions) =>
      (await import('../generations.ts')).listGenerationsCommand(options),
    )
}
