import { array, record, timestamp, type RecordSchema } from './schema-parts.ts'

const filter: RecordSchema = record('Filter', [
  { name: 'feature', type: 'string' },
  { name: 'values', type: array('string') },
])

export function recallRequest(features: RecordSchema): RecordSchema {
  return record('RecallRequest', [
    { name: 'correlation_id', type: 'string' },
    { name: 'user_id', type: 'string' },
    { name: 'features', type: features },
    { name: 'k', type: 'int' },
    { name: 'scenario', type: 'string' },
    { name: 'exclude', type: array('string') },
    { name: 'filter', type: ['null', filter], default: null },
    { name: 'timeout_ms', type: 'long' },
    { name: 'reply_topic', type: 'string' },
    { name: 'reply_partition', type: 'int' },
    { name: 'with_titles', type: 'boolean', default: false },
  ])
}

export const recalledItem: RecordSchema = record('RecalledItem', [
  { name: 'item_id', type: 'string' },
  { name: 'score', type: 'float' },
  { name: 'title', type: 'string', default: '' },
])

export const recallReply: RecordSchema = record('RecallReply', [
  { name: 'correlation_id', type: 'string' },
  { name: 'status', type: 'string' },
  { name: 'message', type: 'string' },
  { name: 'items', type: array(recalledItem) },
  { name: 'generation', type: 'string' },
  { name: 'override_sequence', type: 'long' },
  { name: 'user_event_time', type: timestamp },
  { name: 'learned_through', type: timestamp },
  { name: 'user_offset', type: ['null', 'long'], default: null },
])
