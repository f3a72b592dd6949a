import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/schema.ts'
import { FreshetError, messageOf } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { decodeReport } from '../records/codec.ts'
import type { TopicNames } from '../records/topics.ts'
import type { ControlDocument } from '../records/types.ts'
import type { ArtifactStore } from './generation/artifact-store.ts'
import { IndexerSession } from './indexer-session.ts'
import type { Clock, KafkaClient, Logger, Tail } from './ports.ts'

export interface IndexerDeps {
  readonly config: Pick<Config, 'kafka' | 'index' | 'model'>
  readonly topics: TopicNames
  readonly kafka: KafkaClient
  readonly artifacts: ArtifactStore
  /** Resolves when the newest document has been handed over; then each further one. */
  readonly watchControl: (
    onDocument: (document: ControlDocument) => void,
  ) => Promise<{ close(): Promise<void> }>
  readonly metrics: Metrics
  readonly clock: Clock
  readonly log: Logger
  /** Name of this process in the reports. */
  readonly instance: string
  readonly signal: AbortSignal
  /** Called whenever this indexer has taken over. */
  readonly onReady?: () => void
  /** An active indexer that has not reported for so long counts as gone. */
  readonly silentMs?: number
}

const defaultSilentMs = 10_000
const pauseMs = 500

/**
 * The only writer of the snapshots topic: makes an index of the candidate, and of the live generation where it has none, and sends it.
 * Fenced by its transactional id; one that has been shut out stands by until its successor is silent.
 */
export async function runIndexer(deps: IndexerDeps): Promise<void> {
  const { kafka, log, signal, silentMs = defaultSilentMs } = deps
  await kafka.waitUntilReachable(signal)
  if (signal.aborted) return
  const others = new OtherIndexers(deps)
  await others.follow()
  try {
    while (!signal.aborted) {
      try {
        await IndexerSession.run(deps)
      } catch (error) {
        if (signal.aborted) return
        if (!(error instanceof FreshetError) || error.code !== 'PRODUCER_FENCED') throw error
        log.warn({}, 'another indexer has taken over: standing by')
        await others.untilSilent(silentMs)
      }
    }
  } finally {
    await others.close()
  }
}

/** When another indexer was last heard of. */
class OtherIndexers {
  readonly #deps: IndexerDeps
  #tail: Tail | null = null
  #heardMs = 0

  constructor(deps: IndexerDeps) {
    this.#deps = deps
  }

  async follow(): Promise<void> {
    const { kafka, topics, log, instance, clock } = this.#deps
    this.#tail = await kafka.tail({
      topics: [topics.reports],
      from: 'latest',
      onBatch: ({ records }) => {
        for (const { key, value, offset } of records) {
          if (value === null || key?.toString().startsWith('indexer/') !== true) continue
          try {
            if (decodeReport(value).instance !== instance) this.#heardMs = clock.nowMs()
          } catch (error) {
            log.warn({ offset, error: messageOf(error) }, 'a report cannot be read and is ignored')
          }
        }
      },
    })
  }

  async untilSilent(silentMs: number): Promise<void> {
    const { clock, signal } = this.#deps
    this.#heardMs = clock.nowMs()
    while (!signal.aborted && clock.nowMs() - this.#heardMs < silentMs) {
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined)
    }
  }

  async close(): Promise<void> {
    await this.#tail?.close()
  }
}
