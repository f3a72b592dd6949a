import type { Command } from 'commander'
import { createLogger } from '../../runtime/logger.ts'
import type { Config } from '../../config/schema.ts'
import { addCommonOptions, effectiveConfig, type CommonOptions } from '../options.ts'
import { openContext } from '../role-context.ts'
import { roleNames, roles, runRoles, type RoleName } from '../roles.ts'

const descriptions: Readonly<Record<RoleName, string>> = {
  ingest: 'role: map source topics to events; refuse what is invalid with a reason',
  joiner: 'role: join clicks with their impressions into training examples, exactly once',
  learner: 'role: apply online SGD to ID rows; publish user rows to Redis and item overrides',
  pod: 'role: answer recall requests',
  controller: 'role: write the control document that says which generation is live',
}

export function addRoleCommands(program: Command): void {
  for (const name of roleNames) {
    addCommonOptions(program.command(name))
      .description(descriptions[name])
      .action((options: CommonOptions) => runUntilStopped(effectiveConfig(options), [name]))
  }
  addCommonOptions(program.command('all'))
    .description('every role in one process, against the Kafka and Redis of the configuration')
    .action((options: CommonOptions) => runUntilStopped(effectiveConfig(options), roleNames))
}

async function runUntilStopped(config: Config, names: readonly RoleName[]): Promise<void> {
  const log = createLogger({
    level: config.log.level,
    format: process.stdout.isTTY ? 'text' : 'json',
    write: (line) => process.stdout.write(line),
  })
  const stop = stopSignal(log.info.bind(log, {}))
  const opened = await openContext(config, log, stop)
  try {
    if (!stop.aborted)
      await runRoles(
        opened.context,
        names.map((name) => [name, roles[name]] as const),
      )
  } finally {
    await opened.close()
  }
}

/** npm forwards a signal that the terminal has sent already: the same one again within this time is an echo. */
const echoMs = 1_000

/** Aborts at the first Ctrl-C or SIGTERM. One more, later, ends the process by the default of the system. */
export function stopSignal(say: (message: string) => void): AbortSignal {
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (stop.signal.aborted) return
      say(`${name}: stopping; once more ends at once`)
      stop.abort()
      setTimeout(() => process.removeAllListeners(name), echoMs).unref()
    })
  }
  return stop.signal
}
