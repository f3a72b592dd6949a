import { array, map, record, timestamp, type RecordSchema } from './schema-parts.ts'

export const deadLetter: RecordSchema = record('DeadLetter', [
  { name: 'source_topic', type: 'string' },
  { name: 'partition', type: 'int' },
  { name: 'offset', type: 'long' },
  { name: 'code', type: 'string' },
  { name: 'message', type: 'string' },
  { name: 'role', type: 'string' },
  { name: 'original', type: 'bytes' },
  { name: 'original_key', type: ['null', 'bytes'], default: null },
])

/** `body` is a JSON object: what it holds depends on `kind`. */
export const report: RecordSchema = record('Report', [
  { name: 'role', type: 'string' },
  { name: 'instance', type: 'string' },
  { name: 'kind', type: 'string' },
  { name: 'generation', type: 'string' },
  { name: 'at', type: timestamp },
  { name: 'body', type: 'string' },
])

export const controlDocument: RecordSchema = record('ControlDocument', [
  { name: 'epoch', type: 'long' },
  { name: 'live', type: ['null', 'string'] },
  { name: 'candidate', type: ['null', 'string'] },
  { name: 'previous', type: ['null', 'string'] },
  { name: 'kept', type: array('string') },
  { name: 'cuts', type: map(array('long')) },
  { name: 'states', type: map('string') },
  { name: 'catalogue_cuts', type: map(array('long')), default: {} },
  { name: 'live_since', type: timestamp, default: 0 },
])
