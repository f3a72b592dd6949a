import type { Command } from 'commander'
import { readLocalInstance } from '../../runtime/local-instance.ts'
import { withKafka } from '../connect.ts'
import { addCommonOptions, effectiveConfig, type CommonOptions } from '../options.ts'

interface WatchCommandOptions extends CommonOptions {
  readonly json?: boolean
  readonly metrics?: string
}

export function addWatchCommand(program: Command): void {
  addCommonOptions(program.command('watch'))
    .description('show how generations are trained, indexed, loaded, caught up and switched, live')
    .option('--json', 'print each event as a line of JSON')
    .option(
      '--metrics <url>',
      'where a learner serves its metrics, for the visible delay (default: of the running npm start)',
    )
    .action(async (options: WatchCommandOptions) => {
      const config = effectiveConfig(options)
      const metricsUrl = options.metrics ?? readLocalInstance()?.metricsUrl ?? null
      const { watch } = await import('../watch.ts')
      await withKafka(config, (connected) =>
        watch(config, connected, { json: options.json === true, metricsUrl }),
      )
    })
}
