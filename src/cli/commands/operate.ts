import type { Command } from 'commander'
import { openDirectoryStore } from '../../runtime/generation/artifact-store.ts'
import { withKafka } from '../connect.ts'
import { approveOrOffer, tell } from '../exchange.ts'
import { ask, type Action } from '../operate.ts'
import { addCommonOptions, effectiveConfig, wholeNumber, type CommonOptions } from '../options.ts'

interface OperateOptions extends CommonOptions {
  readonly to?: string
  readonly timeout: number
}

/** What an operator asks of the controller. Exit code 1: it has refused. */
export function addOperateCommands(program: Command): void {
  add(program, 'approve')
    .description(
      'let a generation go live that was rejected, by its validation or by an operator, or imported with --no-offer',
    )
    .argument('<generation>')
    .action((generation: string, options: OperateOptions) => run('approve', generation, options))
  add(program, 'reject')
    .description('keep a generation from going live that is on its way there')
    .argument('<generation>')
    .action((generation: string, options: OperateOptions) => run('reject', generation, options))
  add(program, 'rollback')
    .description('make the generation before the live one live again, and reject the live one')
    .option('--to <generation>', 'go back only if this is the one before')
    .action((options: OperateOptions) => run('rollback', options.to ?? '', options))
}

function add(program: Command, name: Action): Command {
  return addCommonOptions(program.command(name)).option(
    '--timeout <ms>',
    'how long to wait for the controller',
    wholeNumber(1, '--timeout'),
    15_000,
  )
}

async function run(action: Action, generation: string, options: OperateOptions): Promise<void> {
  const config = effectiveConfig(options)
  const { timeout } = options
  const outcome = await withKafka(config, (connected) =>
    action === 'approve'
      ? approveOrOffer(connected, openDirectoryStore(config.artifacts.dir), generation, timeout)
      : ask(connected, action, generation, timeout),
  )
  tell(outcome)
}
