import { createHash, randomBytes } from 'node:crypto'
import { compress, init } from '@bokuweb/zstd-wasm'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  decodeSnapshotRecord,
  encodeSnapshotRecord,
  parseSnapshotKey,
  snapshotKey,
} from '../../../src/records/snapshot-codec.ts'
import type { SnapshotChunk, SnapshotManifest } from '../../../src/records/types.ts'
import { zstdContentBytes } from '../../../src/records/zstd-frame.ts'

const sha256 = createHash('sha256').update('x').digest('hex')
const manifest: SnapshotManifest = {
  ...{ kind: 'manifest', generation: 'full-1', revision: 3, engine: 'hnswlib', dim: 64 },
  ...{ items: 2 ** 40, createdAtMs: 1_700_000_000_000, reference: null },
  parts: [
    { part: 'model', bytes: 10, chunks: 1, sha256 },
    { part: 'index', bytes: 2 ** 33, chunks: 9_000, sha256 },
  ],
  ...{ overrideSequence: 17, recall: 0.987 },
}
const chunk: SnapshotChunk = {
  ...{ kind: 'chunk', generation: 'full-1', revision: 3, part: 'index', chunk: 7, sha256 },
  data: Buffer.from([0, 1, 2, 255]),
}

test('manifests and chunks come back as they were', () => {
  const stored = { ...manifest, reference: 'snapshots/full-1/3' }
  for (const record of [manifest, stored, chunk]) {
    expect(decodeSnapshotRecord(encodeSnapshotRecord(record))).toEqual(record)
  }
})

test('a hash that is none and an engine of another version are refused', () => {
  const refused = expect.objectContaining({ code: 'RECORD_UNDECODABLE' })
  const short = encodeSnapshotRecord({ ...chunk, sha256: sha256.slice(2) })
  expect(() => decodeSnapshotRecord(short)).toThrow(refused)
  const alien = encodeSnapshotRecord({ ...manifest, engine: 'faiss' as 'exact' })
  expect(() => decodeSnapshotRecord(alien)).toThrow(refused)
})

test('a key says what it is the key of, and nothing else is one', () => {
  const generation = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/)
  const part = fc.stringMatching(/^[a-z0-9-]{1,10}$/)
  const number = fc.nat(999_999_999)
  const of = fc.option(fc.record({ part, number }), { nil: null })
  fc.assert(
    fc.property(fc.record({ generation, revision: number, chunk: of }), (key) => {
      expect(parseSnapshotKey(snapshotKey(key))).toEqual(key)
    }),
  )
  for (const key of ['', 'g', 'g/1', 'g/x/manifest', 'g/1/p', 'g/1/p/x', 'g/1/p/1/2']) {
    expect(parseSnapshotKey(key)).toBe(null)
  }
})

test('a zstd frame says how long its content is, whatever its length', async () => {
  await init()
  for (const bytes of [0, 1, 255, 256, 257, 65_535, 65_536, 65_791, 65_792, 1_048_576]) {
    expect(zstdContentBytes(compress(Buffer.alloc(bytes, 7), 1))).toBe(bytes)
    expect(zstdContentBytes(compress(randomBytes(bytes), 1))).toBe(bytes)
  }
  const eight = Buffer.from('28b52ffde0' + 'ffffffffff1f0000', 'hex')
  expect(zstdContentBytes(eight)).toBe(2 ** 45 - 1)
  // No size (content flag 0, several segments), and what is no frame.
  for (const hex of ['28b52ffd0058', '28b52ffd', '28b52ffd60', '504b0304000000', '']) {
    expect(zstdContentBytes(Buffer.from(hex, 'hex'))).toBe(null)
  }
})
