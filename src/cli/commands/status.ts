import type { Command } from 'commander'
import { decodeReport } from '../../records/codec.ts'
import type { ControlDocument, Report } from '../../records/types.ts'
import { readControl } from '../../runtime/control.ts'
import type { KafkaClient } from '../../runtime/ports.ts'
import { withKafka } from '../connect.ts'
import { generationLines } from '../generation-lines.ts'
import { upstreamLags, type Lag } from '../lag.ts'
import { eachReadable } from '../../runtime/kafka/readable.ts'
import { addCommonOptions, effectiveConfig, type CommonOptions } from '../options.ts'

/** A role that has said nothing for this long is taken for gone. */
const silentMs = 10_000

interface Status {
  readonly control: ControlDocument | null
  readonly reports: readonly Report[]
  readonly lags: readonly Lag[]
}

export function addStatusCommand(program: Command): void {
  addCommonOptions(program.command('status'))
    .description('show the live generation, the lag of each role, and what the roles last reported')
    .option('--json', 'print it as JSON')
    .action((options: CommonOptions & { json?: boolean }) => {
      const config = effectiveConfig(options)
      return withKafka(config, async ({ kafka, topics, log }) => {
        const status = {
          control: await readControl(kafka, topics.control, log),
          lags: await upstreamLags(kafka, topics, config),
          reports: newest(await readReports(kafka, topics.reports)),
        }
        process.stdout.write(
          options.json === true ? `${JSON.stringify(status)}\n` : describe(status),
        )
      })
    })
}

async function readReports(kafka: KafkaClient, topic: string): Promise<Report[]> {
  const reports: Report[] = []
  const tail = await kafka.tail({
    topics: [topic],
    from: 'earliest',
    onBatch: eachReadable(decodeReport, (report) => reports.push(report)),
  })
  await tail.caughtUp
  await tail.close()
  return reports
}

/** The last report of each role, instance and kind. */
function newest(reports: readonly Report[]): Report[] {
  const last = new Map(
    reports.map((report) => [`${report.role} ${report.instance} ${report.kind}`, report]),
  )
  const now = Date.now()
  return [...last.values()].filter((report) => now - report.atMs < silentMs)
}

function describe({ control, reports, lags }: Status): string {
  const controller = reports.find((one) => one.role === 'controller' && one.kind === 'controlling')
  const rows = reports.map(
    ({ role, instance, kind, atMs, body }) =>
      `  ${role.padEnd(10)} ${instance.padEnd(10)} ${kind.padEnd(10)} ${((Date.now() - atMs) / 1_000).toFixed(1).padStart(5)} s ago  ${summary(body)}`,
  )
  return [
    ...generationLines(control, controller ?? null, Date.now()),
    '',
    'lag (records not yet processed)',
    ...lags.map(
      ({ role, topic, records }) => `  ${role.padEnd(10)} ${topic.padEnd(28)} ${records}`,
    ),
    '',
    'roles',
    ...(rows.length === 0
      ? [`  none has reported in the last ${silentMs / 1_000} s: is freshet running? npm start`]
      : rows),
    '',
  ].join('\n')
}

const saidAbove: ReadonlySet<string> = new Set(['epoch', 'rollbackUntilMs'])

/** The plain figures of a report that stand nowhere else; --json prints all of it. */
function summary(body: Readonly<Record<string, unknown>>): string {
  return Object.entries(body)
    .filter(([key, value]) => typeof value !== 'object' && !saidAbove.has(key))
    .map(([key, value]) => `${key} ${plain(value)}`)
    .join(', ')
}

function plain(value: unknown): string {
  const isShare = typeof value === 'number' && !Number.isInteger(value)
  return isShare ? value.toFixed(4) : String(value)
}
