import { FreshetError } from '../errors.ts'
import { topicSchemas } from './schemas.ts'
import { topicValues } from './topic-values.ts'
import type { Features, Item, Override, OverrideSetEnd } from './types.ts'

/** Values of the items and overrides topics. */

interface ItemRecord {
  readonly item_id: string
  readonly title: string
  readonly created_at: number
  readonly features: Features
}

const items = topicValues<ItemRecord>('item', topicSchemas.items)

export function encodeItem({ itemId, title, createdAtMs, features }: Item): Buffer {
  return items.encode({ item_id: itemId, title, created_at: createdAtMs, features })
}

export function decodeItem(value: Buffer): Item {
  const { item_id, title, created_at, features } = items.decode(value)
  return { itemId: item_id, title, createdAtMs: created_at, features }
}

type OverrideRecord =
  | {
      readonly 'freshet.Override': {
        readonly generation: string
        readonly sequence: number
        readonly item_id: string
        readonly vector: Buffer | null
        readonly event_time: number
      }
    }
  | {
      readonly 'freshet.OverrideSetEnd': {
        readonly generation: string
        readonly sequence: number
        readonly count: number
        readonly event_time: number
      }
    }

const overrides = topicValues<OverrideRecord>('override', topicSchemas.overrides)

export function encodeOverride(override: Override | OverrideSetEnd): Buffer {
  const { generation, sequence, eventTimeMs: event_time } = override
  if (override.kind === 'set-end') {
    const { count } = override
    return overrides.encode({
      'freshet.OverrideSetEnd': { generation, sequence, count, event_time },
    })
  }
  const vector = override.vector === null ? null : encodeVector(override.vector)
  const record = { generation, sequence, item_id: override.itemId, vector, event_time }
  return overrides.encode({ 'freshet.Override': record })
}

export function decodeOverride(value: Buffer): Override | OverrideSetEnd {
  const record = overrides.decode(value)
  if ('freshet.OverrideSetEnd' in record) {
    const { generation, sequence, count, event_time } = record['freshet.OverrideSetEnd']
    return { kind: 'set-end', generation, sequence, count, eventTimeMs: event_time }
  }
  const { generation, sequence, item_id, vector, event_time } = record['freshet.Override']
  return {
    kind: 'override',
    generation,
    sequence,
    itemId: item_id,
    vector: vector === null ? null : decodeVector(vector),
    eventTimeMs: event_time,
  }
}

/** Little-endian float32, whatever this machine's own order is. */
export function encodeVector(vector: Float32Array): Buffer {
  const bytes = Buffer.allocUnsafe(vector.length * 4)
  for (let i = 0; i < vector.length; i++) bytes.writeFloatLE(vector[i]!, i * 4)
  return bytes
}

/** @throws FreshetError RECORD_UNDECODABLE */
export function decodeVector(bytes: Buffer): Float32Array {
  if (bytes.length % 4 !== 0) {
    const message = `vector: ${bytes.length} bytes are not a whole number of float32`
    throw new FreshetError('RECORD_UNDECODABLE', message)
  }
  const vector = new Float32Array(bytes.length / 4)
  for (let i = 0; i < vector.length; i++) vector[i] = bytes.readFloatLE(i * 4)
  return vector
}
