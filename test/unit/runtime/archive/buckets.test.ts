import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Buckets, piecesOf, readBucket } from '../../../../src/runtime/archive/buckets.ts'
import { entriesOf } from '../../../../src/runtime/archive/packed-entries.ts'
import { seededRandom } from '../../../support/seeded-random.ts'

test.each([0, 8, 24, 32, 40, 56])(
  'entries are told apart by the 8 bits from bit %s on',
  async (from) => {
    const dir = await temporaryDir()
    const random = seededRandom(from)
    const word = (): number => random.between(-(2 ** 31), 2 ** 31 - 1)
    const hashes = Array.from({ length: 500 }, () => [word(), word()] as const)
    for (const bytesMax of [1e9, 5_000]) {
      const into = new Buckets(path.join(dir, String(bytesMax)), { from, bits: 8, bytesMax })
      for (const [i, [high, low]] of hashes.entries()) {
        into.add(high, low, Buffer.from(`body ${i}`))
        if (into.isFull) await into.spill()
      }
      const buckets = await into.finish()
      const firsts: number[] = []
      let count = 0
      for (const bucket of buckets) {
        const bytes = await readBucket(bucket)
        const entries = [...entriesOf(bytes)]
        expect([bucket.bits, bucket.count, bucket.bytes]).toEqual([
          ...[from + 8, entries.length, bytes.length],
        ])
        const places = new Set(entries.map(({ high, low }) => placeOf(high, low, from)))
        expect(places.size).toBe(1)
        firsts.push(...places)
        for (const { high, low, body } of entries) {
          expect([high, low]).toEqual(hashes[Number(body.toString().slice(5))])
        }
        count += entries.length
      }
      expect(firsts).toEqual(firsts.toSorted((a, b) => a - b))
      expect(new Set(firsts).size).toBe(firsts.length)
      expect(count).toBe(500)
    }
  },
)

test('what has been spilled is not held, and pages are used again', async () => {
  const bytesMax = 64 * 1024
  const into = new Buckets(path.join(await temporaryDir(), 'b'), { from: 0, bits: 4, bytesMax })
  const random = seededRandom(1)
  let spills = 0
  for (let i = 0; i < 20_000; i++) {
    into.add(random.between(-(2 ** 31), 2 ** 31 - 1), 0, Buffer.alloc(88, i))
    if (!into.isFull) continue
    await into.spill()
    spills++
  }
  // 2 MB of entries through 64 kB, of which the last pages of 16 buckets are half empty.
  expect(spills).toBeGreaterThanOrEqual(31)
  expect(spills).toBeLessThan(45)
  const buckets = await into.finish()
  expect(buckets.reduce((sum, { count }) => sum + count, 0)).toBe(20_000)
  for (const { file, bytes, pages } of buckets) {
    expect([(await fs.stat(file!)).size, pages]).toEqual([bytes, []])
  }
})

test('a file is read in pieces of whole entries, also where one is larger than a piece', async () => {
  const dir = await temporaryDir()
  const into = new Buckets(dir, { from: 0, bits: 1, bytesMax: 1 << 20 })
  const lengths = [...Array.from({ length: 60 }, (_, i) => 300_000 + i), 9 << 20, 1]
  for (const length of lengths) {
    into.add(1, 2, Buffer.alloc(length, length))
    if (into.isFull) await into.spill()
  }
  const [bucket] = await into.finish()
  const read: number[] = []
  let pieces = 0
  for await (const piece of piecesOf(bucket!.file!)) {
    pieces++
    for (const { high, low, body } of entriesOf(piece)) {
      expect([high, low, body[0]]).toEqual([1, 2, body.length & 255])
      read.push(body.length)
    }
  }
  expect(read).toEqual(lengths)
  expect(pieces).toBeGreaterThan(2)
})

function placeOf(high: number, low: number, from: number): number {
  const whole = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
  return Number((whole >> BigInt(56 - from)) & 255n)
}

async function temporaryDir(): Promise<string> {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-buckets-'))
  onTestFinished(() => fs.rm(dir, { recursive: true, force: true }))
  return dir
}
