import { features, heartbeat } from './schemas.ts'
import { recalledItem } from './schemas-recall.ts'
import {
  array,
  map,
  record,
  timestamp,
  type AvroSchema,
  type RecordSchema,
} from './schema-parts.ts'

/** Older versions of the schemas that may still be in a log. Records written with them are read as current ones. */

const impression10: RecordSchema = record('Impression', [
  { name: 'request_id', type: 'string' },
  { name: 'user_id', type: 'string' },
  { name: 'event_time', type: timestamp },
  { name: 'items', type: array('string') },
  { name: 'features', type: features },
])

const click10: RecordSchema = record('Click', [
  { name: 'request_id', type: 'string' },
  { name: 'user_id', type: 'string' },
  { name: 'item_id', type: 'string' },
  { name: 'event_time', type: timestamp },
  { name: 'action', type: 'string', default: 'click' },
])

const example10: RecordSchema = record('Example', [
  { name: 'request_id', type: 'string' },
  { name: 'user_id', type: 'string' },
  { name: 'item_id', type: 'string' },
  { name: 'event_time', type: timestamp },
  { name: 'impression_time', type: timestamp },
  { name: 'position', type: 'int' },
  { name: 'hard_negatives', type: array('string'), default: [] },
  { name: 'features', type: features },
])

/** 0.1 knew one generation, and no days. */
const controlDocument01: RecordSchema = record('ControlDocument', [
  { name: 'epoch', type: 'long' },
  { name: 'live', type: ['null', 'string'] },
  { name: 'candidate', type: ['null', 'string'] },
  { name: 'previous', type: ['null', 'string'] },
  { name: 'kept', type: array('string') },
  { name: 'cuts', type: map(array('long')) },
  { name: 'states', type: map('string') },
])

/** 0.1 did not say which row it was computed with. */
const recallReply01: RecordSchema = record('RecallReply', [
  { name: 'correlation_id', type: 'string' },
  { name: 'status', type: 'string' },
  { name: 'message', type: 'string' },
  { name: 'items', type: array(recalledItem) },
  { name: 'generation', type: 'string' },
  { name: 'override_sequence', type: 'long' },
  { name: 'user_event_time', type: timestamp },
  { name: 'learned_through', type: timestamp },
])

/** 1.0 knew no scenario, no eliminated items and no weights. */
export const olderSchemas = {
  impressions: [impression10],
  clicks: [click10],
  events: [[impression10, click10, heartbeat]],
  examples: [[example10, heartbeat]],
  control: [controlDocument01],
  recallReplies: [recallReply01],
} as const satisfies Record<string, readonly AvroSchema[]>
