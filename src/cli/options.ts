import { InvalidArgumentError, type Command } from 'commander'
import { readFileSync } from 'node:fs'
import { loadConfig, type ConfigText } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { FreshetError, messageOf } from '../errors.ts'
import { readLocalInstance } from '../runtime/local-instance.ts'

/** Options that every command understands. */
export interface CommonOptions {
  readonly config?: readonly string[]
  readonly set?: readonly string[]
}

export function addCommonOptions(command: Command): Command {
  return command
    .option(
      '-c, --config <file>',
      'YAML configuration; may be given several times, later ones win',
      collect,
    )
    .option(
      '-s, --set <path=value>',
      'one setting, e.g. --set kafka.partitions=8; may be given several times',
      collect,
    )
}

function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value]
}

/** The addresses of a running `npm start` in this folder come first, so that every later source of settings overrides them. */
export function effectiveConfig(options: CommonOptions): Config {
  const local = readLocalInstance()
  const texts = (options.config ?? []).map(readConfigFile)
  return loadConfig({
    texts:
      local === null
        ? texts
        : [{ name: 'the running npm start', text: JSON.stringify(local.settings) }, ...texts],
    environment: process.env,
    settings: options.set ?? [],
  })
}

export function readConfigFile(name: string): ConfigText {
  try {
    return { name, text: readFileSync(name, 'utf8') }
  } catch (cause) {
    throw new FreshetError(
      'FILE_MISSING',
      `cannot read the configuration file ${name}: ${messageOf(cause)}; give an existing file to --config`,
      { cause },
    )
  }
}

export function wholeNumber(minimum: number, what: string): (value: string) => number {
  return (value) => {
    const number = Number(value)
    if (!Number.isInteger(number) || number < minimum)
      throw new InvalidArgumentError(`${what} must be a whole number of at least ${minimum}.`)
    return number
  }
}

/** @param orElse what may stand there instead of a number, for the message */
export function aboveZero(orElse = ''): (value: string) => number {
  return (value) => {
    const number = Number(value)
    if (!(number > 0 && Number.isFinite(number)))
      throw new InvalidArgumentError(`It must be a number above 0${orElse}.`)
    return number
  }
}
