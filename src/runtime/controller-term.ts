import { encodeControlDocument, encodeReport } from '../records/codec.ts'
import type { ControllerReportBodies, RequestAnswer } from '../records/reports.ts'
import type { ControlDocument } from '../records/types.ts'
import { alertsOf, decide } from '../streams/controller.ts'
import type { Alert } from '../streams/controller.ts'
import { changesBetween } from '../streams/controller-changes.ts'
import type { OperatorRequest } from '../streams/controller-known.ts'
import { progressOf } from '../streams/controller-progress.ts'
import type { ControllerOptions } from '../streams/controller-progress.ts'
import { answer, rollbackUntilMs } from '../streams/controller-requests.ts'
import type { SinkRecord } from '../streams/stage.ts'
import type { ControllerDeps } from './controller.ts'
import { sayRoleChange } from './controller-intake.ts'
import type { ControllerIntake } from './controller-intake.ts'
import { Removal } from './controller-removal.ts'
import type { TransactionalProducer } from './ports.ts'

const reportMs = 1_000
/** Answers that are remembered for requests that come again. */
const answersMax = 200

type Told = RequestAnswer & { readonly isAccepted: boolean }

/** One term of the active controller: from having fenced the one before until it is fenced itself, or the signal. */
export class ControllerTerm {
  readonly #deps: ControllerDeps
  readonly #intake: ControllerIntake
  readonly #producer: TransactionalProducer
  readonly #options: ControllerOptions
  readonly #removal: Removal
  readonly #told = new Map<string, Told>()
  #alerts: readonly Alert[] = []
  #document: ControlDocument
  #reportedMs = -Infinity

  constructor(
    deps: ControllerDeps,
    intake: ControllerIntake,
    producer: TransactionalProducer,
    document: ControlDocument,
  ) {
    this.#deps = deps
    this.#intake = intake
    this.#producer = producer
    this.#document = document
    const { kafka, generations } = deps.config
    this.#options = { ...generations, partitions: kafka.partitions }
    this.#removal = new Removal(deps)
    intake.known.follow(document, deps.clock.nowMs())
  }

  async run(): Promise<void> {
    const { clock, signal, log } = this.#deps
    // Asked before this term: whoever is not answered asks again.
    this.#intake.takeRequests()
    try {
      while (!signal.aborted) {
        await this.#step()
        for (const change of this.#intake.roles.silentAt(clock.nowMs())) sayRoleChange(log, change)
        const dueMs = this.#reportedMs + reportMs - clock.nowMs()
        await this.#intake.untilNews(Math.max(0, dueMs), signal)
      }
    } finally {
      // What the next controller says is to be seen, not what this one said last.
      this.#deps.metrics.controllerAlerts.set(0)
      this.#deps.metrics.candidateAge.set(0)
      await this.#removal.close()
    }
  }

  /** Everything that has come of what is known, in one transaction: answers are never ahead of the document, nor behind it. */
  async #step(): Promise<void> {
    const { clock, topics } = this.#deps
    const nowMs = clock.nowMs()
    const documents: ControlDocument[] = []
    const told = this.#intake
      .takeRequests()
      .map((request) => this.#answer(request, documents, nowMs))
    this.#follow(documents, nowMs)
    const document = documents.at(-1) ?? this.#document
    const alerts = alertsOf(document, this.#intake.known, nowMs, this.#options)
    const newAlerts = alerts.filter(({ key }) => !this.#alerts.some((alert) => alert.key === key))
    const isDue = nowMs >= this.#reportedMs + reportMs
    if (!isDue && documents.length + told.length + newAlerts.length === 0) return
    await this.#producer.transact([
      ...documents.flatMap((one) => controlRecords(topics, one, nowMs)),
      ...told.map((one) => this.#answerRecord(one)),
      ...newAlerts.map(({ message }) => this.#report('alert', { message })),
      this.#controlling(document, alerts, nowMs),
    ])
    this.#reportedMs = nowMs
    this.#alerts = alerts
    this.#say(documents, newAlerts, told)
    this.#document = document
    this.#publishMetrics(nowMs)
    this.#removal.start(document)
  }

  #answer(request: OperatorRequest, documents: ControlDocument[], nowMs: number): Told {
    const { id } = request.body
    const before = this.#told.get(id)
    if (before !== undefined) return before
    const document = documents.at(-1) ?? this.#document
    const given = answer(document, request, this.#intake.known, nowMs, this.#options)
    if (given.document !== null) documents.push(given.document)
    const told = { id, isAccepted: given.isAccepted, message: given.message }
    this.#told.set(id, told)
    if (this.#told.size > answersMax) this.#told.delete(this.#told.keys().next().value!)
    return told
  }

  #follow(documents: ControlDocument[], nowMs: number): void {
    const { known } = this.#intake
    for (let last = documents.at(-1) ?? this.#document; ;) {
      known.follow(last, nowMs)
      const next = decide(last, known, nowMs, this.#options)
      if (next === null) return
      documents.push(next)
      last = next
    }
  }

  #say(
    documents: readonly ControlDocument[],
    alerts: readonly Alert[],
    told: readonly Told[],
  ): void {
    const { log, metrics } = this.#deps
    for (const { id, isAccepted, message } of told) {
      log.info({ request: id }, `${isAccepted ? 'accepted' : 'refused'}: ${message}`)
    }
    let before = this.#document
    for (const document of documents) {
      for (const { kind, message } of changesBetween(before, document)) {
        log.info({ epoch: document.epoch }, message)
        if (kind === 'switch' || kind === 'rollback') metrics.switches.inc({ kind })
      }
      before = document
    }
    for (const { message } of alerts) log.warn({}, message)
  }

  #publishMetrics(nowMs: number): void {
    const { metrics } = this.#deps
    const sinceMs = this.#intake.known.candidateSinceMs
    metrics.controllerAlerts.set(this.#alerts.length)
    metrics.candidateAge.set(sinceMs === null ? 0 : (nowMs - sinceMs) / 1_000)
    const { liveSinceMs } = this.#document
    if (liveSinceMs > 0) metrics.liveSince.set(liveSinceMs / 1_000)
  }

  #controlling(document: ControlDocument, alerts: readonly Alert[], nowMs: number): SinkRecord {
    const { candidate, epoch } = document
    const { known } = this.#intake
    const waitsFor =
      candidate === null
        ? []
        : progressOf(candidate, document, known, nowMs, this.#options).waitsFor
    const untilMs = rollbackUntilMs(document, this.#options)
    const body: ControllerReportBodies['controlling'] = {
      ...{ epoch, waitsFor, alerts: alerts.map(({ message }) => message) },
      rollbackUntilMs: untilMs >= nowMs ? untilMs : 0,
    }
    return this.#report('controlling', body, document.live ?? '')
  }

  #answerRecord({ id, message, isAccepted }: Told): SinkRecord {
    return this.#report(isAccepted ? 'accepted' : 'refused', { id, message })
  }

  #report<Kind extends keyof ControllerReportBodies>(
    kind: Kind,
    body: ControllerReportBodies[Kind],
    generation = this.#document.live ?? '',
  ): SinkRecord {
    const { topics, clock, instance } = this.#deps
    const atMs = clock.nowMs()
    const report = {
      role: 'controller',
      instance,
      kind,
      generation,
      atMs,
      body: { ...(body as object) },
    }
    const key = `controller/${instance}`
    return { topic: topics.reports, key, value: encodeReport(report), timestampMs: atMs }
  }
}

/** One record is the switch; the same record in the history topic is for people. */
export function controlRecords(
  topics: ControllerDeps['topics'],
  document: ControlDocument,
  timestampMs: number,
): SinkRecord[] {
  const value = encodeControlDocument(document)
  return [topics.control, topics.controlHistory].map((topic) => ({
    ...{ topic, key: 'control', value, timestampMs, partition: 0 },
  }))
}
