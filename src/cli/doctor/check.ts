import type { Config } from '../../config/schema.ts'
import type { TopicNames } from '../../records/topics.ts'
import type { Told } from '../../runtime/doctor/told.ts'

export type Status = 'ok' | 'warning' | 'problem' | 'unknown'

export interface Finding {
  readonly status: Status
  /** One line. */
  readonly what: string
  /** What goes wrong by it. */
  readonly why?: string
  /** The command or setting that mends it. */
  readonly mend?: string
}

/** What every check may know besides what was found. */
export interface Context {
  readonly config: Config
  readonly topics: TopicNames
  readonly nowMs: number
  /** The options that say which deployment it is, as a command line needs them again: begins with a space, or is empty. */
  readonly options: string
}

/** Pure: the same facts give the same findings. Never without any: what is in order says so. */
export interface Check<Facts> {
  readonly name: string
  judge(facts: Facts, context: Context): readonly Finding[]
}

export interface NamedFinding extends Finding {
  readonly check: string
}

/** Every check of a group; what could not be found out makes none of them fail. */
export function judgeAll<Facts>(
  checks: readonly Check<Facts>[],
  facts: Told<Facts>,
  context: Context,
): NamedFinding[] {
  return checks.flatMap(({ name, judge }) => {
    const findings = facts.isTold ? judge(facts.value, context) : [untoldFinding(facts.why)]
    return findings.map((finding) => ({ check: name, ...finding }))
  })
}

export function ok(what: string): Finding {
  return { status: 'ok', what }
}

export function problem(what: string, why: string, mend: string): Finding {
  return { status: 'problem', what, why, mend }
}

export function warning(what: string, why: string, mend: string): Finding {
  return { status: 'warning', what, why, mend }
}

export function untoldFinding(why: string): Finding {
  return { status: 'unknown', what: `not checked: ${why}` }
}

/** What is wrong, or that nothing is. */
export function orOk(findings: readonly Finding[], what: string): readonly Finding[] {
  return findings.length > 0 ? findings : [ok(what)]
}

/** Judges a part of the facts that may not have been told. */
export function ifTold<T>(
  fact: Told<T>,
  judge: (value: T) => readonly Finding[],
): readonly Finding[] {
  return fact.isTold ? judge(fact.value) : [untoldFinding(fact.why)]
}

export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`
}

export function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6).toLocaleString('en-US')} MB`
}

export function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`
}
