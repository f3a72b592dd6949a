import type { Command } from 'commander'
import { configReference, printConfig } from '../../config/reference.ts'
import { addCommonOptions, effectiveConfig, type CommonOptions } from '../options.ts'

export function addConfigCommand(program: Command): void {
  addCommonOptions(program.command('config'))
    .description('print the effective configuration as YAML, secrets masked')
    .option('--reference', 'print the reference of all settings as Markdown instead')
    .action((options: CommonOptions & { reference?: boolean }) => {
      process.stdout.write(
        options.reference === true ? configReference() : printConfig(effectiveConfig(options)),
      )
    })
}
