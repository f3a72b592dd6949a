import type { Command } from 'commander'
import { FreshetError } from '../../errors.ts'
import type { Config } from '../../config/schema.ts'
import {
  RecallClient,
  type RecallClientOptions,
  type RecallResult,
} from '../../runtime/recall-client.ts'
import { reaching } from '../connect.ts'
import { duration } from '../duration.ts'
import { addCommonOptions, effectiveConfig, wholeNumber, type CommonOptions } from '../options.ts'

interface RecallCommandOptions extends CommonOptions {
  readonly user?: string
  readonly k: number
  readonly exclude?: readonly string[]
  readonly filter?: string
  readonly scenario: string
  readonly timeout: number
  readonly json?: boolean
}

export function addRecallCommand(program: Command): void {
  addCommonOptions(program.command('recall'))
    .description('ask the recall pods for the nearest items of a user')
    .option('-u, --user <id>', 'user id (required)')
    .option('-k <count>', 'how many items', wholeNumber(1, '-k'), 10)
    .option('--exclude <ids...>', 'items that must not come back')
    .option(
      '--filter <feature=value,...>',
      'only items with one of these values of a categorical feature',
    )
    .option('--scenario <name>', 'where the page is shown', '')
    .option('--timeout <ms>', 'how long to wait for the reply', wholeNumber(1, '--timeout'), 5_000)
    .option('--json', 'print the reply as JSON')
    .action(async (options: RecallCommandOptions) => {
      // Not a required option of the parser, which would complain of it before it suggests the flag that was meant.
      if (options.user === undefined)
        throw new FreshetError('USAGE_INVALID', 'whose recall? Give --user ID')
      const { user } = options
      const config = effectiveConfig(options)
      const client = await reaching(config, RecallClient.connect(recallClientOptions(config)))
      try {
        const result = await client.recall({
          userId: user,
          k: options.k,
          scenario: options.scenario,
          exclude: options.exclude ?? [],
          ...(options.filter === undefined ? {} : { filter: parseFilter(options.filter) }),
          timeoutMs: options.timeout,
        })
        process.stdout.write(
          options.json === true ? `${JSON.stringify(result)}\n` : describeReply(result),
        )
        if (result.status === 'INVALID' || result.status === 'NO_GENERATION') process.exitCode = 1
      } finally {
        await client.close()
      }
    })
}

function parseFilter(text: string): { feature: string; values: string[] } {
  const [feature = '', values = ''] = text.split('=', 2)
  return { feature, values: values.split(',').filter((value) => value !== '') }
}

export function recallClientOptions({ kafka }: Config): RecallClientOptions {
  const { enabled, ...tls } = kafka.tls
  const { mechanism, username, password } = kafka.sasl
  return {
    brokers: kafka.brokers,
    topicPrefix: kafka.topicPrefix,
    ...(enabled ? { ssl: withoutUndefined(tls) } : {}),
    ...(mechanism === 'none' ? {} : { sasl: { mechanism, username, password } }),
  }
}

function withoutUndefined(
  tls: Omit<Config['kafka']['tls'], 'enabled'>,
): Exclude<RecallClientOptions['ssl'], boolean | undefined> {
  return Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined))
}

function describeReply(result: RecallResult): string {
  const now = Date.now()
  const lines = result.items.map(
    (item, at) =>
      `${String(at + 1).padStart(4)}  ${item.score.toFixed(4).padStart(7)}  ${item.itemId}${item.title === '' ? '' : `  ${item.title}`}`,
  )
  const facts = [
    `status      ${result.status}${result.message === '' ? '' : ` (${result.message})`}`,
    `generation  ${result.generation === '' ? 'none' : result.generation}, override set ${result.overrideSequence}`,
    `user row    ${result.userEventTime === null ? 'default: nothing learned about this user yet' : `newest click ${ageOf(result.userEventTime, now)}`}`,
    `learned     ${result.learnedThrough === null ? 'unknown' : `through ${ageOf(result.learnedThrough, now)}`}`,
    `latency     ${result.latencyMs.toFixed(1)} ms`,
  ]
  return `${[...(lines.length === 0 ? ['no items'] : ['rank    score  item', ...lines]), '', ...facts].join('\n')}\n`
}

function ageOf(time: Date, nowMs: number): string {
  return `${time.toISOString()} (${duration(nowMs - time.getTime())} ago)`
}
