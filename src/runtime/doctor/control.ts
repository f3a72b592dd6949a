import type { Config } from '../../config/schema.ts'
import { FreshetError } from '../../errors.ts'
import { decodeReport } from '../../records/codec.ts'
import type { ControlDocument, Report, SnapshotManifest } from '../../records/types.ts'
import { topicNames } from '../../records/topics.ts'
import { SnapshotLedger } from '../../streams/snapshot-ledger.ts'
import { readControl } from '../control.ts'
import { createKafkaClient } from '../kafka/client.ts'
import type { PartitionBounds } from '../kafka/examine.ts'
import type { Batch, KafkaClient, Logger } from '../ports.ts'
import { partitionKey } from '../ports.ts'
import { within, type Told } from './told.ts'

export interface ControlFacts {
  readonly document: ControlDocument | null
  /** The last of each role, instance and kind. */
  readonly reports: readonly Report[]
  /** Of the live generation, the newest; null: none is in the topic, or nothing is live. */
  readonly snapshot: Told<LiveSnapshot | null>
}

export interface LiveSnapshot {
  readonly manifest: SnapshotManifest
  /** What the topic holds of the generation. */
  readonly keys: readonly string[]
}

const reportsMax = 5_000
const snapshotMs = 20_000

/**
 * What the roles say of themselves, from topics that are there.
 * @param bounds of those topics
 */
export async function gatherControl(
  config: Config,
  bounds: readonly PartitionBounds[],
  log: Logger,
): Promise<ControlFacts> {
  const topics = topicNames(config.kafka.topicPrefix)
  const has = (topic: string) => bounds.some((each) => each.topic === topic)
  const kafka = createKafkaClient({ config: config.kafka, log })
  try {
    const document = has(topics.control) ? await readControl(kafka, topics.control, log) : null
    const live = document?.live ?? null
    return {
      document,
      reports: has(topics.reports) ? await readReports(kafka, topics.reports, bounds) : [],
      snapshot: await within(snapshotMs, async () =>
        live === null || !has(topics.snapshots)
          ? null
          : readSnapshot(kafka, topics.snapshots, live),
      ),
    }
  } finally {
    await kafka.close()
  }
}

async function readReports(
  kafka: KafkaClient,
  topic: string,
  bounds: readonly PartitionBounds[],
): Promise<Report[]> {
  const newest = new Map<string, Report>()
  const starts = bounds
    .filter((each) => each.topic === topic)
    .map((each) => [partitionKey(each), Math.max(each.low, each.stable - reportsMax)] as const)
  await readThrough(kafka, topic, new Map(starts), ({ value }) => {
    if (value === null) return
    const report = decodeReport(value)
    newest.set(`${report.role} ${report.instance} ${report.kind}`, report)
  })
  return [...newest.values()]
}

async function readSnapshot(
  kafka: KafkaClient,
  topic: string,
  live: string,
): Promise<LiveSnapshot | null> {
  const ledger = new SnapshotLedger()
  await readThrough(kafka, topic, 'earliest', (record) => void ledger.add(record))
  const known = ledger.newest(live)
  return known === null ? null : { manifest: known.manifest, keys: ledger.keysOf(live) }
}

/** Passes over what cannot be read: the check of the schemas says so. */
async function readThrough(
  kafka: KafkaClient,
  topic: string,
  from: 'earliest' | ReadonlyMap<string, number>,
  use: (record: Batch['records'][number]) => void,
): Promise<void> {
  const tail = await kafka.tail({
    ...{ topics: [topic], from },
    onBatch: ({ records }) => {
      for (const record of records) {
        try {
          use(record)
        } catch (error) {
          if (!(error instanceof FreshetError) || error.disposition !== 'dead-letter') throw error
        }
      }
    },
  })
  try {
    await tail.caughtUp
  } finally {
    await tail.close()
  }
}
