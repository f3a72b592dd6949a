import { Command, CommanderError } from 'commander'
import { createRequire } from 'node:module'
import { nearest } from '../config/load.ts'
import { addAuditCommand } from './commands/audit.ts'
import { addBackfillCommand } from './commands/backfill.ts'
import { addBootstrapCommand } from './commands/bootstrap.ts'
import { addConfigCommand } from './commands/config.ts'
import { addConsoleCommand } from './commands/console.ts'
import { addDemoCommand } from './commands/demo.ts'
import { addDoctorCommand } from './commands/doctor.ts'
import { addEvaluateCommand } from './commands/evaluate.ts'
import { addExchangeCommands } from './commands/exchange.ts'
import { addExplainCommand } from './commands/explain.ts'
import { addFullUpdateCommand } from './commands/full-update.ts'
import { addGenerationsCommand } from './commands/generations.ts'
import { addMapCommand } from './commands/map.ts'
import { addOperateCommands } from './commands/operate.ts'
import { addRecallCommand } from './commands/recall.ts'
import { addRecordCommands } from './commands/records.ts'
import { addResetCommand } from './commands/reset.ts'
import { addRoleCommands } from './commands/roles.ts'
import { addStartCommand } from './commands/start.ts'
import { addStatusCommand } from './commands/status.ts'
import { addTopicsCommand } from './commands/topics.ts'
import { addWatchCommand } from './commands/watch.ts'
import { addBenchCommand } from './commands/bench.ts'

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string }

/**
 * Runs one command line.
 * @returns the exit code: 0, or 2 for a usage that commander has already explained
 */
export async function run(argv: readonly string[]): Promise<number> {
  const program = buildProgram()
  try {
    await program.parseAsync(argv.length === 0 ? ['--help'] : [...argv], { from: 'user' })
    return typeof process.exitCode === 'number' ? process.exitCode : 0
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return error.exitCode === 0 ? 0 : 2
  }
}

export function buildProgram(): Command {
  const program = new Command('freshet')
    .description(
      'Keeps two-tower recall fresh: events in, online SGD on ID embeddings, recall out, over Kafka.',
    )
    .version(version)
    .showSuggestionAfterError()
    .showHelpAfterError('(freshet --help, or freshet <command> --help, lists what there is)')
    .exitOverride()
    .configureHelp({ helpWidth: 100 })
    .addHelpText('after', '\nNew here? npm start, then docs/tutorial.md.')
  program.commandsGroup('To begin with:')
  addStartCommand(program)
  addDemoCommand(program)
  addRecallCommand(program)
  addExplainCommand(program)
  program.commandsGroup('To see what it does, and what is wrong:')
  addStatusCommand(program)
  addDoctorCommand(program)
  addWatchCommand(program)
  addConsoleCommand(program)
  addRecordCommands(program)
  program.commandsGroup('Generations:')
  addGenerationsCommand(program)
  addOperateCommands(program)
  addFullUpdateCommand(program)
  addBackfillCommand(program)
  addBootstrapCommand(program)
  addExchangeCommands(program)
  addAuditCommand(program)
  program.commandsGroup('Measure:')
  addEvaluateCommand(program)
  addBenchCommand(program)
  program.commandsGroup('Set up:')
  addConfigCommand(program)
  addTopicsCommand(program)
  addMapCommand(program)
  addResetCommand(program)
  program.commandsGroup('Roles, each a process:')
  addRoleCommands(program)
  program.on('command:*', ([name]: string[]) => unknownCommand(program, name ?? ''))
  return program
}

function unknownCommand(program: Command, name: string): never {
  const near = nearest(
    name,
    program.commands.map((command) => command.name()),
  )
  program.error(
    `error: unknown command '${name}'${near === undefined ? '' : `\n(Did you mean ${near}?)`}`,
    { exitCode: 2 },
  )
}
