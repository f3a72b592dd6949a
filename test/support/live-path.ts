import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect } from 'vitest'
import type { Config } from '../../src/config/schema.ts'
import { createMetrics } from '../../src/metrics/metrics.ts'
import { sourceHeartbeatHeader } from '../../src/records/headers.ts'
import { jsonOf } from '../../src/records/json.ts'
import { topicNames } from '../../src/records/topics.ts'
import type { Click, Impression } from '../../src/records/types.ts'
import type { Archive, DaySeal } from '../../src/runtime/archive/archive.ts'
import { readExample } from '../../src/runtime/compactor-record.ts'
import { IngestPipeline } from '../../src/runtime/ingest-pipeline.ts'
import { compileSources } from '../../src/runtime/ingest-sources.ts'
import { DayFold, dayName, dayOf } from '../../src/streams/day-cut.ts'
import { joiner } from '../../src/streams/joiner.ts'
import type { SinkRecord, SourceRecord } from '../../src/streams/stage.ts'

const dayMs = 86_400_000

/**
 * Events as they go through a deployment, without its broker: mapped and aligned by ingest, joined partition by partition, cut into
 * days as the compactor cuts the examples, and sealed in the archive. Sources say at each midnight that nothing older follows.
 * @param events in order of time
 */
export async function throughLivePath(
  events: readonly (Impression | Click)[],
  config: Config,
  archive: Archive,
): Promise<DaySeal[]> {
  const topics = topicNames('live')
  const { partitions } = config.kafka
  const sent = await ingested(events, config)
  const stage = joiner({ ...config.joiner, topics })
  const examples = Array.from({ length: partitions }, (_, partition) => {
    const own = sent.filter(
      (record) => record.topic === topics.events && record.partition === partition,
    )
    const outputs = stage.onBatch(
      stage.init(),
      own.map((record, i) => logged(record, i)),
    )
    return outputs.filter(({ topic }) => topic === topics.examples).map(({ value }) => value!)
  })
  const fold = new DayFold(
    examples.map(() => ({ offset: 0, starts: [] })),
    [],
  )
  for (const [partition, values] of examples.entries()) {
    for (const [offset, value] of values.entries()) {
      fold.add(partition, offset, dayOf(readExample(value)!.eventTimeMs))
    }
  }
  const seals: DaySeal[] = []
  let from = examples.map(() => 0)
  for (let cut = fold.cut(() => false); cut !== null; cut = fold.cut(() => false)) {
    fold.decide(cut)
    const ranges = cut.offsets.map((to, partition) => ({ partition, from: from[partition]!, to }))
    for (const range of ranges) {
      await archive.write(
        dayName(cut.day),
        range,
        examples[range.partition]!.slice(range.from, range.to),
      )
    }
    seals.push(await archive.seal(dayName(cut.day), ranges))
    from = [...cut.offsets]
  }
  return seals
}

/** What ingest has sent, in order. */
async function ingested(
  events: readonly (Impression | Click)[],
  config: Config,
): Promise<SinkRecord[]> {
  const topics = topicNames('live')
  const { partitions } = config.kafka
  const sent: SinkRecord[] = []
  let nowMs = 0
  const pipeline = new IngestPipeline({
    mappers: await compileSources(config.sources, config.ingest, topics, partitions),
    ...{ eventsTopic: topics.events, partitions, ...config.ingest, metrics: createMetrics() },
    producer: {
      send: (records) => Promise.resolve(void sent.push(...records)),
      close: () => Promise.resolve(),
    },
    clock: { nowMs: () => nowMs },
    ...{ pause: () => {}, resume: () => {} },
    onFailure: (error) => expect.unreachable(String(error)),
  })
  const sources = [topics.clicks, topics.impressions].map((topic) => ({ topic, partition: 0 }))
  pipeline.assign(sources)
  for (const source of sources) {
    const own = events.filter(({ kind }) => (kind === 'click') === (source.topic === topics.clicks))
    const records = sourceRecords(source.topic, own)
    pipeline.onBatch({ ...source, records, highWatermark: records.length })
  }
  do {
    nowMs += 1_000
    pipeline.pump()
    await nextTurn()
  } while (!pipeline.isIdle)
  return sent
}

function sourceRecords(topic: string, events: readonly (Impression | Click)[]): SourceRecord[] {
  const records: SourceRecord[] = []
  const about = { topic, partition: 0, key: null }
  let midnightMs = Math.ceil(events[0]!.eventTimeMs / dayMs) * dayMs
  const heartbeat = (timeMs: number): void => {
    const headers = { [sourceHeartbeatHeader]: String(timeMs) }
    records.push({ ...about, offset: records.length, timestampMs: timeMs, value: null, headers })
  }
  for (const event of events) {
    for (; midnightMs <= event.eventTimeMs; midnightMs += dayMs) heartbeat(midnightMs)
    const value = Buffer.from(
      JSON.stringify(jsonOf(event), (_, inner: unknown) =>
        inner instanceof Map ? Object.fromEntries(inner) : inner,
      ),
    )
    records.push({ ...about, offset: records.length, timestampMs: event.eventTimeMs, value })
  }
  heartbeat(midnightMs + dayMs)
  return records
}

function logged(
  { topic, partition, key, value, timestampMs }: SinkRecord,
  offset: number,
): SourceRecord {
  const bytes = typeof key === 'string' ? Buffer.from(key) : key
  return { topic, partition: partition!, offset, timestampMs, key: bytes, value }
}
