import { messageOf } from '../errors.ts'
import { decodeReport } from '../records/codec.ts'
import type { TopicNames } from '../records/topics.ts'
import { KnownReports } from '../streams/controller-known.ts'
import type { OperatorRequest } from '../streams/controller-known.ts'
import { parseReport } from '../streams/controller-reports.ts'
import { RoleStates } from '../streams/controller-roles.ts'
import type { RoleChange } from '../streams/controller-roles.ts'
import type { Clock, KafkaClient, Logger, Tail } from './ports.ts'

interface IntakeDeps {
  readonly kafka: KafkaClient
  readonly topics: TopicNames
  readonly clock: Clock
  readonly log: Logger
}

/** Different complaints about reports that are remembered, so that each is logged once. */
const complaintsMax = 1_000

/** Follows the reports from now on: roles and operators repeat what is of importance. */
export class ControllerIntake {
  readonly known: KnownReports
  readonly roles: RoleStates
  readonly #deps: IntakeDeps
  readonly #complaints = new Set<string>()
  #requests: OperatorRequest[] = []
  #hasNews = false
  #wake: () => void = () => {}
  #tail: Tail | null = null

  static async open(deps: IntakeDeps, silentMs: number): Promise<ControllerIntake> {
    const intake = new ControllerIntake(deps, silentMs)
    intake.#tail = await deps.kafka.tail({
      topics: [deps.topics.reports],
      from: 'latest',
      onBatch: ({ records }) => {
        for (const { value, offset } of records) if (value !== null) intake.#take(value, offset)
        intake.#hasNews = true
        intake.#wake()
      },
    })
    return intake
  }

  private constructor(deps: IntakeDeps, silentMs: number) {
    this.#deps = deps
    this.known = new KnownReports(silentMs, deps.clock.nowMs())
    this.roles = new RoleStates(silentMs)
  }

  /** Those that have come since the last call. */
  takeRequests(): OperatorRequest[] {
    return this.#requests.splice(0)
  }

  /** Resolves when a report has come since the last call, or the time is over, or the signal aborts. */
  async untilNews(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#hasNews && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer)
          signal.removeEventListener('abort', wake)
          resolve()
        }
        const timer = setTimeout(wake, ms)
        this.#wake = wake
        signal.addEventListener('abort', wake)
      })
    }
    this.#hasNews = false
  }

  async close(): Promise<void> {
    await this.#tail?.close()
  }

  #take(value: Buffer, offset: number): void {
    try {
      const report = decodeReport(value)
      const change = this.roles.apply(report)
      if (change !== null) sayRoleChange(this.#deps.log, change)
      this.#apply(report, offset)
    } catch (error) {
      this.#deps.log.warn(
        { offset, error: messageOf(error) },
        'a report cannot be read and is ignored',
      )
    }
  }

  #apply(report: ReturnType<typeof decodeReport>, offset: number): void {
    const { role, instance, kind } = report
    try {
      const known = parseReport(report)
      if (known?.kind === 'request') this.#requests.push(known)
      else if (known !== null) this.known.apply(known, this.#deps.clock.nowMs())
    } catch (error) {
      const complaint = `${role}/${instance} ${kind}: ${messageOf(error)}`
      if (this.#complaints.has(complaint) || this.#complaints.size >= complaintsMax) return
      this.#complaints.add(complaint)
      const fields = { role, instance, kind, offset, error: messageOf(error) }
      this.#deps.log.warn(fields, 'a report does not hold what it should and is passed over')
    }
  }
}

export function sayRoleChange(
  log: Logger,
  { what, state: { role, instance, generation } }: RoleChange,
): void {
  const level = what === 'is silent' ? 'warn' : 'info'
  log[level]({ instance, generation }, `${role} ${what}`)
}
