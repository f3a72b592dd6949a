import type { Command } from 'commander'
import { wholeNumber } from '../options.ts'

export interface DemoOptions {
  readonly days: number
  readonly user: string
  readonly exit?: boolean
}

export function addDemoCommand(program: Command): void {
  program
    .command('demo')
    .description(
      'see it in under three minutes: days of generated users in a time-lapse, then one click, and how soon recall knows it',
    )
    .option('--days <n>', 'how many days', wholeNumber(1, '--days'), 2)
    .option('-u, --user <id>', 'who clicks', '42')
    .option('--exit', 'stop after the click, instead of going on until Ctrl-C')
    .action(async (options: DemoOptions) => (await import('../demo.ts')).runDemo(options))
}
