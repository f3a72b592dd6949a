import { controlDocument, deadLetter, report } from './schemas-operations.ts'
import { recallReply, recallRequest } from './schemas-recall.ts'
import { snapshotChunk, snapshotManifest } from './schemas-snapshots.ts'
import {
  array,
  map,
  record,
  timestamp,
  type AvroSchema,
  type RecordSchema,
} from './schema-parts.ts'

/**
 * The Avro schema of every topic. They evolve by Avro's rules: new fields have a default; fields are neither renamed nor
 * retyped; a changed schema leaves its older version in `schema-history.ts`.
 */

export const features: RecordSchema = record('Features', [
  { name: 'categorical', type: map(array('string')), default: {} },
  { name: 'numeric', type: map('float'), default: {} },
  { name: 'dense', type: map(array('float')), default: {} },
])

/** Ids and times first, features last: a reader decodes the head and copies the rest verbatim. */
export const impression: RecordSchema = record('Impression', [
  { name: 'request_id', type: 'string' },
  { name: 'user_id', type: 'string' },
  { name: 'event_time', type: timestamp },
  { name: 'scenario', type: 'string', default: '' },
  { name: 'items', type: array('string') },
  { name: 'eliminated', type: array('string'), default: [] },
  { name: 'features', type: features },
])

export const click: RecordSchema = record('Click', [
  { name: 'request_id', type: 'string' },
  { name: 'user_id', type: 'string' },
  { name: 'item_id', type: 'string' },
  { name: 'event_time', type: timestamp },
  { name: 'action', type: 'string', default: 'click' },
  { name: 'weight', type: 'double', default: 1 },
])

export const heartbeat: RecordSchema = record('Heartbeat', [
  { name: 'event_time', type: timestamp },
])

export const example: RecordSchema = record('Example', [
  { name: 'request_id', type: 'string' },
  { name: 'user_id', type: 'string' },
  { name: 'item_id', type: 'string' },
  { name: 'event_time', type: timestamp },
  { name: 'impression_time', type: timestamp },
  { name: 'position', type: 'int' },
  { name: 'weight', type: 'double', default: 1 },
  { name: 'scenario', type: 'string', default: '' },
  { name: 'hard_negatives', type: array('string'), default: [] },
  { name: 'features', type: features },
])

export const item: RecordSchema = record('Item', [
  { name: 'item_id', type: 'string' },
  { name: 'title', type: 'string', default: '' },
  { name: 'created_at', type: timestamp },
  { name: 'features', type: features },
])

/** `vector`: little-endian float32, L2-normalised; null withdraws the item. */
const override: RecordSchema = record('Override', [
  { name: 'generation', type: 'string' },
  { name: 'sequence', type: 'long' },
  { name: 'item_id', type: 'string' },
  { name: 'vector', type: ['null', 'bytes'] },
  { name: 'event_time', type: timestamp },
])

const overrideSetEnd: RecordSchema = record('OverrideSetEnd', [
  { name: 'generation', type: 'string' },
  { name: 'sequence', type: 'long' },
  { name: 'count', type: 'long' },
  { name: 'event_time', type: timestamp },
])

/** What the value of each topic is. The two default source topics also take JSON. */
export const topicSchemas = {
  impressions: impression,
  clicks: click,
  events: [impression, click, heartbeat],
  items: item,
  examples: [example, heartbeat],
  overrides: [override, overrideSetEnd],
  snapshots: [snapshotManifest, snapshotChunk],
  reports: report,
  control: controlDocument,
  controlHistory: controlDocument,
  recallRequests: recallRequest(features),
  recallReplies: recallReply,
  deadLetters: deadLetter,
} as const satisfies Record<string, AvroSchema>
