import type { Config } from '../config/schema.ts'
import { maskSetting } from '../config/reference.ts'
import { FreshetError } from '../errors.ts'
import { topicNames } from '../records/topics.ts'
import { createLogger } from '../runtime/logger.ts'
import type { DoctorOptions } from './commands/doctor.ts'
import { problem } from './doctor/check.ts'
import { gather } from './doctor/gather.ts'
import { judge } from './doctor/judge.ts'
import type { GroupFinding } from './doctor/judge.ts'
import { describeFindings } from './doctor/report.ts'
import { effectiveConfig, type CommonOptions } from './options.ts'

/** `freshet doctor`: looks, and changes nothing. */
export async function runDoctorCommand(options: DoctorOptions): Promise<void> {
  const findings = await examine(options)
  const wanted = findings.filter(({ group }) => options.only?.includes(group) ?? true)
  const problems = wanted.filter(({ status }) => status === 'problem').length
  process.stdout.write(
    options.json === true
      ? `${JSON.stringify({ problems, findings: wanted })}\n`
      : describeFindings(wanted),
  )
  if (problems > 0) process.exitCode = 1
}

async function examine(options: DoctorOptions): Promise<GroupFinding[]> {
  let config: Config
  try {
    config = effectiveConfig(options)
  } catch (error) {
    if (!(error instanceof FreshetError)) throw error
    const mend = 'correct what is named; npx freshet config --reference lists every setting'
    const finding = problem(
      'no check is possible without a valid configuration',
      error.message,
      mend,
    )
    return [{ group: 'config', check: 'valid', ...finding }]
  }
  const log = createLogger({ level: 'silent', format: 'text', write: () => undefined })
  const nowMs = Date.now()
  const topics = topicNames(config.kafka.topicPrefix)
  const facts = await gather(config, log, nowMs)
  return judge(facts, { config, topics, nowMs, options: optionsText(options) })
}

/** The same options for another command line, without secrets. */
export function optionsText({ config = [], set = [] }: CommonOptions): string {
  return [
    ...config.map((file) => ` --config ${quoted(file)}`),
    ...set.map((setting) => ` --set ${quoted(maskSetting(setting))}`),
  ].join('')
}

function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
