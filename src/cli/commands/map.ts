import type { Command } from 'commander'
import { createReadStream } from 'node:fs'
import { access } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import type { Config, SourceConfig } from '../../config/schema.ts'
import { nearest } from '../../config/load.ts'
import { FreshetError, messageOf } from '../../errors.ts'
import { topicNames } from '../../records/topics.ts'
import { compileSource } from '../../runtime/ingest-sources.ts'
import type { Mapping } from '../../streams/mapping.ts'
import { addCommonOptions, effectiveConfig, wholeNumber, type CommonOptions } from '../options.ts'
import { toJsonLine } from '../json-line.ts'

interface MapOptions extends CommonOptions {
  readonly check?: string
  readonly source?: string
  readonly show: number
}

export function addMapCommand(program: Command): void {
  addCommonOptions(program.command('map'))
    .description('try the field mapping of a source on a file of JSON lines, without Kafka')
    .option('--check <file>', 'one JSON record a line (required)')
    .option(
      '--source <name>',
      'impressions, clicks, or a name under `sources:` of the configuration (required)',
    )
    .option('--show <count>', 'how many mapped records to print', wholeNumber(0, '--show'), 3)
    .action(async ({ check: file, source, show, ...common }: MapOptions) => {
      if (file === undefined || source === undefined)
        throw new FreshetError(
          'USAGE_INVALID',
          'what is to be mapped, and how? Give --check FILE and --source NAME',
        )
      const config = effectiveConfig(common)
      const mapping = await compileSource(source, sourceOf(config, source), config.ingest)
      const failed = await check(file, show, mapping)
      if (failed > 0) process.exitCode = 1
    })
}

function sourceOf(config: Config, name: string): SourceConfig {
  const topics = topicNames(config.kafka.topicPrefix)
  const known: Record<string, SourceConfig> = {
    impressions: { topic: topics.impressions, record: 'impression', format: 'json', fields: {} },
    clicks: { topic: topics.clicks, record: 'click', format: 'json', fields: {} },
    ...config.sources,
  }
  const found = known[name]
  if (found !== undefined) return found
  const near = nearest(name, Object.keys(known))
  throw new FreshetError(
    'USAGE_INVALID',
    `no source is called ${name}${near === undefined ? '' : `; did you mean ${near}?`} Known: ${Object.keys(known).join(', ')}`,
  )
}

/** Prints the first mapped records and every line that fails. Returns how many failed. */
async function check(file: string, show: number, mapping: Mapping): Promise<number> {
  await access(file).catch((cause: unknown) => {
    throw new FreshetError(
      'FILE_MISSING',
      `cannot read ${file}: ${messageOf(cause)}; give a file of JSON lines to --check`,
      { cause },
    )
  })
  let line = 0
  let mapped = 0
  let failed = 0
  for await (const text of createInterface({
    input: createReadStream(file),
    crlfDelay: Infinity,
  })) {
    line++
    if (text.trim() === '') continue
    try {
      const event = mapping({
        topic: file,
        partition: 0,
        offset: line,
        timestampMs: Date.now(),
        key: null,
        value: Buffer.from(text),
      })
      if (mapped++ < show) process.stdout.write(`${toJsonLine(event)}\n`)
    } catch (error) {
      if (!(error instanceof FreshetError)) throw error
      failed++
      process.stdout.write(`${file}:${line}: ${error.code}: ${error.message}\n`)
    }
  }
  process.stdout.write(`${mapped} lines mapped, ${failed} failed\n`)
  return failed
}
