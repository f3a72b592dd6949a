import type { Command } from 'commander'
import type { Config } from '../../config/schema.ts'
import { addCommonOptions, effectiveConfig, type CommonOptions } from '../options.ts'
import { optionalRoleNames, roleNames, rolesOf, type RoleName } from '../role-names.ts'

const descriptions: Readonly<Record<RoleName, string>> = {
  ingest: 'role: map source topics to events; refuse what is invalid with a reason',
  joiner: 'role: join clicks with their impressions into training examples, exactly once',
  learner: 'role: apply online SGD to ID rows; publish user rows to Redis and item overrides',
  pod: 'role: answer recall requests',
  compactor: 'role: archive examples by day; train a generation on every day that has ended',
  indexer: 'role: build the vector index of each generation and send it to the pods',
  controller: 'role: write the control document that says which generation is live',
  gateway: 'role: serve recall and take events by HTTP, for callers without Kafka',
}

export function addRoleCommands(program: Command): void {
  for (const name of [...roleNames, ...optionalRoleNames]) {
    addCommonOptions(program.command(name))
      .description(descriptions[name])
      .action((options: CommonOptions) => run(options, () => [name]))
  }
  addCommonOptions(program.command('all'))
    .description('every role in one process, against the Kafka and Redis of the configuration')
    .action((options: CommonOptions) => run(options, rolesOf))
}

/** What the roles run on is loaded here, so that no other command waits for it. */
async function run(
  options: CommonOptions,
  namesOf: (config: Config) => readonly RoleName[],
): Promise<void> {
  const { runUntilStopped } = await import('../roles.ts')
  const config = effectiveConfig(options)
  await runUntilStopped(config, namesOf(config))
}
