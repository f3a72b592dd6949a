import { expect, test } from 'vitest'
import { encodeSnapshotRecord, snapshotKey } from '../../../src/records/snapshot-codec.ts'
import type { SnapshotManifest } from '../../../src/records/types.ts'
import { SnapshotLedger } from '../../../src/streams/snapshot-ledger.ts'

function manifestOf(generation: string, revision: number, items = 1): SnapshotManifest {
  return {
    ...{ kind: 'manifest', generation, revision, engine: 'exact', dim: 4, items },
    ...{ createdAtMs: 0, parts: [], reference: null, overrideSequence: 0, recall: 1 },
  }
}

/** Appends records as a log does. */
function logOf(ledger: SnapshotLedger) {
  let offset = 0
  const append = (key: string, value: Buffer | null) =>
    ledger.add({ key: Buffer.from(key), value, offset: offset++ })
  return {
    chunk: (generation: string, revision: number, number: number) =>
      append(snapshotKey({ generation, revision, chunk: { part: 'p', number } }), Buffer.from('x')),
    manifest: (generation: string, revision: number, items = 1) =>
      append(
        snapshotKey({ generation, revision, chunk: null }),
        encodeSnapshotRecord(manifestOf(generation, revision, items)),
      ),
    append,
  }
}

test('a snapshot is there with its manifest, and lies between its first chunk and that', () => {
  const ledger = new SnapshotLedger()
  const log = logOf(ledger)
  log.chunk('a', 1, 0)
  log.chunk('b', 1, 0)
  log.chunk('a', 1, 1)
  expect(ledger.newest('a')).toBe(null)
  expect(log.manifest('a', 1)).toEqual(manifestOf('a', 1))
  expect(ledger.newest('a')).toEqual({ manifest: manifestOf('a', 1), from: 0, through: 3 })
  expect(ledger.newest('b')).toBe(null)
  expect(ledger.newest('nobody')).toBe(null)
  expect(ledger.generations).toEqual(['a', 'b'])
})

test('the highest complete revision counts, whatever the order of the log', () => {
  const ledger = new SnapshotLedger()
  const log = logOf(ledger)
  log.chunk('a', 2, 0)
  log.manifest('a', 2)
  log.chunk('a', 1, 0)
  log.manifest('a', 1)
  log.chunk('a', 3, 0)
  expect(ledger.newest('a')).toMatchObject({ manifest: { revision: 2 }, from: 0, through: 1 })
})

test('what is sent again lies where it was sent last, as compaction leaves it', () => {
  const ledger = new SnapshotLedger()
  const log = logOf(ledger)
  log.chunk('a', 1, 0)
  log.chunk('a', 1, 0)
  log.manifest('a', 1, 7)
  expect(ledger.newest('a')).toMatchObject({ manifest: { items: 7 }, from: 1, through: 2 })
})

test('tombstones take away what they name, first of all the manifest', () => {
  const ledger = new SnapshotLedger()
  const log = logOf(ledger)
  for (const revision of [1, 2]) {
    log.chunk('a', revision, 0)
    log.manifest('a', revision)
  }
  expect(ledger.keysOf('a')).toEqual(['a/1/manifest', 'a/2/manifest', 'a/1/p/0', 'a/2/p/0'])
  expect(ledger.keysOf('a', 2)).toEqual(['a/1/manifest', 'a/1/p/0'])
  log.append('a/2/manifest', null)
  expect(ledger.newest('a')).toMatchObject({ manifest: { revision: 1 } })
  for (const key of ledger.keysOf('a')) log.append(key, null)
  expect(ledger.newest('a')).toBe(null)
  expect(ledger.generations).toEqual([])
  log.append('a/1/p/0', null)
  expect(ledger.generations).toEqual([])
})

test('keys and values that are none of a snapshot change nothing', () => {
  const ledger = new SnapshotLedger()
  const log = logOf(ledger)
  for (const key of [
    '',
    'a',
    'a/1',
    'a/1/p',
    'a/1/p/q',
    'a/-1/manifest',
    'a/1/p/0/0',
    '/1/manifest',
  ]) {
    expect(log.append(key, Buffer.from('x'))).toBe(null)
  }
  expect(ledger.generations).toEqual([])
  expect(() => log.append('a/1/manifest', Buffer.from('x'))).toThrow(
    expect.objectContaining({ code: 'RECORD_UNDECODABLE' }),
  )
  expect(ledger.newest('a')).toBe(null)
})
