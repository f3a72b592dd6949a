import { encodeReport } from '../records/codec.ts'
import type { ArchivingBody, ReportBodies } from '../records/reports.ts'
import { groupName } from '../records/topics.ts'
import type { TopicNames } from '../records/topics.ts'
import { dayNamed } from '../streams/day-cut.ts'
import type { Day } from '../streams/day-cut.ts'
import type { SinkRecord } from '../streams/stage.ts'
import type { Clock, KafkaClient, TransactionalProducer } from './ports.ts'

export type CompactorReport =
  | { readonly kind: 'cut'; readonly body: ReportBodies['cut'] }
  | {
      readonly kind: 'training'
      readonly generation: string
      readonly body: ReportBodies['training']
    }
  | {
      readonly kind: 'trained'
      readonly generation: string
      readonly body: ReportBodies['trained']
    }
  | { readonly kind: 'archiving'; readonly body: ArchivingBody }

export interface ReportsOptions {
  readonly topics: Pick<TopicNames, 'examples' | 'items' | 'reports'>
  readonly topicPrefix: string
  readonly instance: string
  readonly clock: Clock
}

/** An acknowledged transaction proves for so long that nobody has taken over: less than it takes to notice that a member is gone. */
const ownerMs = 1_500

/**
 * What the compactor says, one transaction at a time: whoever was shut out hears of it, and nobody hears it any more. The cut that is
 * proposed is committed with its report, as offsets of a group that nobody is in: a compactor that takes over proposes the same.
 */
export class CompactorReports {
  readonly #options: ReportsOptions
  readonly #producer: TransactionalProducer
  #sending: Promise<void> = Promise.resolve()
  #ownedAtMs = -Infinity
  #asserting: Promise<void> | null = null
  /** The generation that it was at last: whoever watches the reports sees it change when it does. */
  #generation = ''

  constructor(options: ReportsOptions, producer: TransactionalProducer) {
    this.#options = options
    this.#producer = producer
  }

  /** @throws FreshetError PRODUCER_FENCED */
  async send(reports: readonly CompactorReport[]): Promise<void> {
    if (reports.length > 0) await this.#transact(reports)
  }

  /** @throws FreshetError PRODUCER_FENCED */
  propose(cut: ReportBodies['cut']): Promise<void> {
    const { topics, topicPrefix } = this.#options
    const metadata = JSON.stringify({ v: 1, day: cut.day })
    const committed = (topic: string, offsets: readonly number[]) =>
      offsets.map((offset, partition) => ({ topic, partition, offset, metadata }))
    return this.#transact([{ kind: 'cut', body: cut }], {
      groupId: proposalGroup(topicPrefix),
      offsets: [...committed(topics.examples, cut.examples), ...committed(topics.items, cut.items)],
    })
  }

  /** @throws FreshetError PRODUCER_FENCED */
  async assertOwner(): Promise<void> {
    if (this.#options.clock.nowMs() - this.#ownedAtMs < ownerMs) return
    this.#asserting ??= this.send([{ kind: 'archiving', body: {} }]).finally(() => {
      this.#asserting = null
    })
    await this.#asserting
  }

  async #transact(
    reports: readonly CompactorReport[],
    offsets?: Parameters<TransactionalProducer['transact']>[1],
  ): Promise<void> {
    const sending = this.#sending.then(async () => {
      const atMs = this.#options.clock.nowMs()
      await this.#producer.transact(
        reports.map((report) => this.#recordOf(report, atMs)),
        offsets,
      )
      this.#ownedAtMs = atMs
    })
    this.#sending = sending.catch(() => undefined)
    return sending
  }

  #recordOf(report: CompactorReport, atMs: number): SinkRecord {
    const { topics, instance } = this.#options
    const { kind, body } = report
    if ('generation' in report) this.#generation = report.generation
    const generation = this.#generation
    const value = encodeReport({
      role: 'compactor',
      instance,
      kind,
      generation,
      atMs,
      body: { ...body },
    })
    return { topic: topics.reports, key: `compactor/${instance}`, value, timestampMs: atMs }
  }
}

/** The cut that was proposed last, by this compactor or by one before it. */
export async function readProposal(
  kafka: Pick<KafkaClient, 'committed'>,
  { topics, topicPrefix }: Pick<ReportsOptions, 'topics' | 'topicPrefix'>,
): Promise<{ day: Day; cut: ReportBodies['cut'] } | null> {
  const groupId = proposalGroup(topicPrefix)
  const [examples, items] = await Promise.all([
    kafka.committed(groupId, topics.examples),
    kafka.committed(groupId, topics.items),
  ])
  const all = [...examples.values(), ...items.values()]
  const metadata = all[0]?.metadata ?? ''
  if (metadata === '' || all.some((one) => one.offset === null || one.metadata !== metadata)) {
    return null
  }
  const { day } = JSON.parse(metadata) as { day: string }
  const offsetsOf = (committed: typeof examples) =>
    [...committed].sort(([a], [b]) => a - b).map(([, { offset }]) => offset!)
  const cut = { day, examples: offsetsOf(examples), items: offsetsOf(items) }
  return { day: dayNamed(day), cut }
}

function proposalGroup(topicPrefix: string): string {
  return groupName(topicPrefix, 'compactor-cut')
}
