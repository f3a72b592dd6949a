import type { Command } from 'commander'
import { existsSync, rmSync } from 'node:fs'
import { FreshetError } from '../../errors.ts'
import { endOrphans } from '../../runtime/local/orphans.ts'
import { readLocalInstance, removeLocalInstance } from '../../runtime/local-instance.ts'

/** What `npm start` remembers; the cache of downloaded servers is not among it. */
const remembered = [
  '.freshet/data',
  '.freshet/state',
  '.freshet/artifacts',
  '.freshet/run',
  '.freshet/logs',
]

export function addResetCommand(program: Command): void {
  program
    .command('reset')
    .description(
      'forget everything that npm start has stored under .freshet/ (topics, rows, checkpoints, generations)',
    )
    .option('--cache', 'also delete the downloaded Kafka and Redis')
    .action(async (options: { cache?: boolean }) => {
      const instance = readLocalInstance()
      if (instance !== null)
        throw new FreshetError(
          'USAGE_INVALID',
          `npm start runs here (pid ${instance.pid}); stop it first with Ctrl-C`,
        )
      for (const { name, pid } of await endOrphans('.freshet/run')) {
        process.stdout.write(`ended ${name} (pid ${pid}), left over by a process that was killed\n`)
      }
      removeLocalInstance()
      const folders = [...remembered, ...(options.cache === true ? ['.freshet/cache'] : [])].filter(
        (folder) => existsSync(folder),
      )
      for (const folder of folders) rmSync(folder, { recursive: true, force: true })
      process.stdout.write(
        folders.length === 0 ? 'nothing to forget\n' : `forgotten: ${folders.join(', ')}\n`,
      )
    })
}
