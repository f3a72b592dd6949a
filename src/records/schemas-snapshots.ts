import { array, record, timestamp, type RecordSchema } from './schema-parts.ts'

const snapshotPart: RecordSchema = record('SnapshotPart', [
  { name: 'part', type: 'string' },
  { name: 'bytes', type: 'long' },
  { name: 'chunks', type: 'int' },
  { name: 'sha256', type: 'bytes' },
])

/** Sent after the chunks. `reference` is a path in the artifact store when the parts are too large for the topic. */
export const snapshotManifest: RecordSchema = record('SnapshotManifest', [
  { name: 'generation', type: 'string' },
  { name: 'revision', type: 'int' },
  { name: 'engine', type: 'string' },
  { name: 'dim', type: 'int' },
  { name: 'items', type: 'long' },
  { name: 'created_at', type: timestamp },
  { name: 'parts', type: array(snapshotPart) },
  { name: 'reference', type: ['null', 'string'], default: null },
  { name: 'override_sequence', type: 'long', default: 0 },
  { name: 'recall', type: 'double', default: 1 },
])

export const snapshotChunk: RecordSchema = record('SnapshotChunk', [
  { name: 'generation', type: 'string' },
  { name: 'revision', type: 'int' },
  { name: 'part', type: 'string' },
  { name: 'chunk', type: 'int' },
  { name: 'sha256', type: 'bytes' },
  { name: 'data', type: 'bytes' },
])
