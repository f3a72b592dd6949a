import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import avsc from 'avsc'
import { expect, onTestFinished, test } from 'vitest'
import { decodeIds, encodeIds } from '../../../src/records/id-file.ts'

const ids = [
  '',
  'a',
  'ä{}:',
  '😀',
  'x'.repeat(70_000),
  ...Array.from({ length: 9_000 }, (_, i) => `u${i}`),
]
const encode = (list: readonly string[]): Buffer => Buffer.concat(encodeIds('UserId', list))

test('ids come back in their order, and the same ids give the same bytes', () => {
  expect(decodeIds('UserId', encode(ids))).toEqual(ids)
  expect(decodeIds('UserId', encode([]))).toEqual([])
  expect(encode(ids).equals(encode([...ids]))).toBe(true)
})

test('another Avro implementation reads the file', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'freshet-test-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  writeFileSync(join(dir, 'ids.avro'), encode(ids))
  const read: string[] = []
  for await (const record of avsc.createFileDecoder(join(dir, 'ids.avro'))) {
    read.push((record as { id: string }).id)
  }
  expect(read).toEqual(ids)
})

test('files that are cut off, altered or of the other kind are refused', () => {
  const good = encode(ids)
  const refuse = (bytes: Buffer, message: string, kind: 'UserId' | 'ItemId' = 'UserId'): void =>
    expect(() => decodeIds(kind, bytes)).toThrow(message)
  refuse(good.subarray(0, 3), 'the magic number')
  refuse(Buffer.from('not an Avro file'), 'not an Avro object container file')
  refuse(good, 'ItemId', 'ItemId')
  refuse(good.subarray(0, good.length - 1), '16 bytes expected, 15 left')
  const marker = Buffer.from(good)
  marker[marker.length - 1]! ^= 1
  refuse(marker, 'the sync marker')
  const codec = Buffer.from(good)
  codec.write('zstd', codec.indexOf('null'))
  refuse(codec, 'zstd is not supported')
})
