import { decodeOverride, encodeOverride } from '../records/codec.ts'
import type { Learner } from '../streams/learner.ts'
import type { ItemOverride } from '../streams/learner-items.ts'
import type { SinkRecord } from '../streams/stage.ts'
import type { KafkaClient } from './ports.ts'

/** What the overrides topic says of one generation. */
export interface PublishedOverrides {
  /** Of the newest set, 0 before the first. */
  readonly sequence: number
  /** Item id -> its published vector; null: withdrawn. */
  readonly vectors: ReadonlyMap<string, Float32Array | null>
}

/** By generation. Call after fencing the writer before: what is read is then all there will be of it. */
export async function readOverrides(
  kafka: Pick<KafkaClient, 'tail'>,
  topic: string,
): Promise<Map<string, PublishedOverrides>> {
  const found: Found = new Map()
  const tail = await kafka.tail({
    topics: [topic],
    from: 'earliest',
    onBatch: ({ records }) => {
      for (const { key, value } of records) {
        if (value === null) {
          takeBack(found, key?.toString() ?? '')
          continue
        }
        const record = decodeOverride(value)
        const { generation, sequence } = record
        const known = found.get(generation) ?? { sequence: 0, vectors: new Map() }
        found.set(generation, known)
        known.sequence = Math.max(known.sequence, sequence)
        if (record.kind === 'override') known.vectors.set(record.itemId, record.vector)
      }
    },
  })
  try {
    await tail.caughtUp
  } finally {
    await tail.close()
  }
  return found
}

type Found = Map<string, { sequence: number; vectors: Map<string, Float32Array | null> }>

function takeBack(found: Found, key: string): void {
  const slash = key.indexOf('/')
  const generation = key.slice(0, Math.max(0, slash))
  const itemId = key.slice(slash + 1)
  // The end of its sets goes last.
  if (itemId === '') found.delete(generation)
  else found.get(generation)?.vectors.delete(itemId)
}

/**
 * Tells a learner that was restored what serving really has: sets may have been published after its checkpoint. Items whose published
 * vector is not what the learner would publish go out with the next sync.
 * @returns withdrawals that the learner does not know it owes
 */
export function reconcile(
  learner: Learner,
  vectors: PublishedOverrides['vectors'],
): ItemOverride[] {
  const { items } = learner
  const withdrawals: ItemOverride[] = []
  for (const [itemId, vector] of vectors) {
    const slot = items.table.find(itemId)
    const isWanted = slot !== 0 && items.sampler.has(slot)
    if (vector !== null && !isWanted) {
      if (slot !== 0) items.isRecallable[slot] = 0
      withdrawals.push({ itemId, vector: null, eventTimeMs: 0 })
      continue
    }
    if (slot === 0) continue
    // One of the wrong width was refused by every pod, so it is not what serving has.
    const isServed = vector?.length === items.outputDim
    items.isRecallable[slot] = isServed ? 1 : 0
    if (isServed) items.published.set(vector, slot * items.outputDim)
    if (isWanted) items.table.markDirty(slot)
  }
  return withdrawals
}

/**
 * One override set as records; pods apply it when its end has come.
 * @param arrivalOf when the newest click or catalogue record behind the item came in
 */
export function overrideRecords(
  topic: string,
  set: {
    readonly generation: string
    readonly sequence: number
    readonly overrides: readonly ItemOverride[]
    readonly eventTimeMs: number
  },
  arrivalOf: (itemId: string) => number,
): SinkRecord[] {
  const { generation, sequence, overrides, eventTimeMs } = set
  const records = overrides.map((override): SinkRecord => ({
    topic,
    partition: 0,
    key: `${generation}/${override.itemId}`,
    value: encodeOverride({ kind: 'override', generation, sequence, ...override }),
    timestampMs: arrivalOf(override.itemId),
  }))
  const end = {
    kind: 'set-end',
    generation,
    sequence,
    count: overrides.length,
    eventTimeMs,
  } as const
  // No earlier than its overrides: a compacted log keeps the order of offsets, but tools go by time.
  const timestampMs = records.reduce((latest, record) => Math.max(latest, record.timestampMs), 0)
  records.push({
    topic,
    partition: 0,
    key: `${generation}/`,
    value: encodeOverride(end),
    timestampMs,
  })
  return records
}
