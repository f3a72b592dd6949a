import type { Command } from 'commander'
import { readLocalInstance } from '../../runtime/local-instance.ts'
import { addCommonOptions, effectiveConfig, type CommonOptions } from '../options.ts'

export function addConsoleCommand(program: Command): void {
  addCommonOptions(program.command('console'))
    .description('serve the web console of a freshet that runs elsewhere, until Ctrl-C')
    .action(async (options: CommonOptions) => {
      const config = effectiveConfig(options)
      const local = readLocalInstance()?.metricsUrl ?? null
      const given = config.console.metricsUrls
      const metricsUrls = given.length === 0 && local !== null ? [local] : given
      const { runConsole } = await import('../console.ts')
      await runConsole(config, metricsUrls)
    })
}
