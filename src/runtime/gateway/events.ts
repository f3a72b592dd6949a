import type { Config } from '../../config/schema.ts'
import { FreshetError } from '../../errors.ts'
import type { Metrics } from '../../metrics/metrics.ts'
import type { TopicNames } from '../../records/topics.ts'
import { compileMapping, type Mapping } from '../../streams/mapping.ts'
import type { SinkRecord } from '../../streams/stage.ts'
import type { Clock, Producer } from '../ports.ts'
import { withTimeout } from '../with-timeout.ts'
import { listed, pointer, pointerOf, type PointedError, type Problem } from './problems.ts'

export interface EventIntakeOptions {
  readonly config: Pick<Config, 'gateway' | 'ingest'>
  readonly topics: Pick<TopicNames, 'impressions' | 'clicks'>
  readonly producer: Producer
  readonly metrics: Metrics
  readonly clock: Clock
}

export type EventKind = 'impression' | 'click'

/**
 * Events of HTTP requests on their way to ingest's source topics. Each is checked by the mapping that ingest reads those topics with, as
 * the bytes that are then sent, so that none of them ends as a dead letter. All of a request are sent, or none.
 */
export class EventIntake {
  readonly #options: EventIntakeOptions
  readonly #mappings: Readonly<Record<EventKind, Mapping>>
  /** Requests whose events Kafka has not acknowledged, also those whose caller has been answered. */
  #unacknowledged = 0

  constructor(options: EventIntakeOptions) {
    this.#options = options
    const { futureSkewMs, recordBytesMax } = options.config.ingest
    const mappingOf = (record: EventKind) =>
      compileMapping({ record, format: 'json', fields: {}, futureSkewMs, recordBytesMax })
    this.#mappings = { impression: mappingOf('impression'), click: mappingOf('click') }
  }

  /**
   * @param body one event, or an array of them
   * @throws FreshetError TIMEOUT where Kafka does not acknowledge in time, and what the producer throws
   */
  async take(kind: EventKind, body: unknown): Promise<{ accepted: number } | Problem> {
    const { eventsPerRequestMax, inFlightMax } = this.#options.config.gateway
    const events: readonly unknown[] = Array.isArray(body) ? body : [body]
    if (events.length === 0 || events.length > eventsPerRequestMax) {
      const detail = `found ${events.length} events, expected 1 to ${eventsPerRequestMax} (gateway.eventsPerRequestMax)`
      return { kind: 'invalid-request', detail, errors: [{ pointer: '#', detail }] }
    }
    if (this.#unacknowledged >= inFlightMax) {
      const detail = `${inFlightMax} requests with events wait for Kafka (gateway.inFlightMax); send these again later`
      return { kind: 'overloaded', detail }
    }
    const records: SinkRecord[] = []
    const errors: PointedError[] = []
    for (const [i, event] of events.entries()) {
      const checked = this.#check(kind, event, Array.isArray(body) ? i : undefined)
      if ('pointer' in checked) errors.push(checked)
      else records.push(checked)
    }
    if (errors.length > 0) return refusal(errors, events.length)
    await this.#send(records)
    this.#options.metrics.gatewayEvents.inc({ kind }, records.length)
    return { accepted: records.length }
  }

  /** @param index undefined: the body is the event itself */
  #check(kind: EventKind, event: unknown, index: number | undefined): SinkRecord | PointedError {
    const { topics, clock } = this.#options
    const topic = kind === 'impression' ? topics.impressions : topics.clicks
    const timestampMs = clock.nowMs()
    try {
      const value = bytesOf(event)
      const source = { topic, partition: 0, offset: 0, timestampMs, key: null, value }
      return { topic, key: this.#mappings[kind](source).userId, value, timestampMs }
    } catch (error) {
      if (!(error instanceof FreshetError) || error.disposition !== 'dead-letter') throw error
      const { field, message } = error
      const at = field === undefined ? pointer([index]) : pointerOf(field, index)
      return { pointer: at, detail: message }
    }
  }

  async #send(records: readonly SinkRecord[]): Promise<void> {
    const { producer, config } = this.#options
    const { sendTimeoutMs } = config.gateway
    this.#unacknowledged++
    const sent = producer.send(records).finally(() => this.#unacknowledged--)
    await withTimeout(sent, sendTimeoutMs, () => {
      const message = `Kafka has not acknowledged the events within ${sendTimeoutMs} ms (gateway.sendTimeoutMs) and may still do so; send them again: what comes twice counts once`
      return new FreshetError('TIMEOUT', message)
    })
  }
}

/** @throws FreshetError RECORD_INVALID for what can be parsed and yet not be written again */
function bytesOf(event: unknown): Buffer {
  try {
    return Buffer.from(JSON.stringify(event ?? null))
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    const message = 'the record: nested too deeply, expected the fields of an event'
    throw new FreshetError('RECORD_INVALID', message, { cause })
  }
}

function refusal(errors: readonly PointedError[], count: number): Problem {
  const shown = listed(errors)
  const what = `${errors.length} of ${count} events cannot be used, so none was written; mend them and send all again`
  return { kind: 'invalid-event', detail: `${what}. ${shown.detail}`, errors: shown.errors }
}
