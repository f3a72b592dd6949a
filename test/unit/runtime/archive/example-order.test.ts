import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { AvroWriter } from '../../../../src/records/avro-io.ts'
import { encodeExample } from '../../../../src/records/codec.ts'
import { bodyOfExample } from '../../../../src/records/example-codec.ts'
import { noFeatures } from '../../../../src/records/types.ts'
import { ExampleHash } from '../../../../src/runtime/archive/example-hash.ts'
import {
  entryBytes,
  sortedEntries,
  writeEntry,
} from '../../../../src/runtime/archive/packed-entries.ts'
import { shuffleDay } from '../../../../src/runtime/archive/shuffle.ts'

/**
 * Whether the order of a day is a uniform permutation, whatever the ids look like. Bounds are five standard deviations or more of what a
 * uniform permutation gives; the ids and seeds are fixed, so that a test that passes once passes always.
 */
type Ids = (i: number) => readonly [request: string, item: string]
const shapes: Readonly<Record<string, Ids>> = {
  'numbered requests': (i) => [`request-${String(i).padStart(10, '0')}`, `item-${i % 100}`],
  'items of one request': (i) => ['request', `i${i}`],
  'requests for one item': (i) => [`${i}`, 'item'],
  'binary counters': (i) => [String.fromCharCode(i & 127, (i >> 7) & 127, (i >> 14) & 127), ''],
}

describe.each(Object.entries(shapes))('%s', (_, ids) => {
  test('every place is as likely for every example, over seeds', () => {
    const [count, seeds] = [40, 400]
    const seen = Array.from({ length: count }, () => new Array<number>(count).fill(0))
    const before = Array.from({ length: count }, () => new Array<number>(count).fill(0))
    let followers = 0
    for (let seed = 1; seed <= seeds; seed++) {
      const order = orderOf(ids, count, seed)
      for (const [place, one] of order.entries()) {
        seen[one]![place]!++
        for (const later of order.slice(place + 1)) before[one]![later]!++
        if (order[place + 1] === one + 1) followers++
      }
    }
    const expected = seeds / count
    const chiSquare = seen.flat().reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)
    const degrees = (count - 1) ** 2
    expect(Math.abs(chiSquare - degrees)).toBeLessThan(5 * Math.sqrt(2 * degrees))
    // Either of two comes first as often as the other.
    const pairs = before.flatMap((row, i) => row.slice(i + 1))
    for (const n of pairs) expect(Math.abs(n - seeds / 2)).toBeLessThan(5 * Math.sqrt(seeds / 4))
    const wantedFollowers = (seeds * (count - 1)) / count
    expect(Math.abs(followers - wantedFollowers)).toBeLessThan(5 * Math.sqrt(wantedFollowers))
  })

  test('places do not follow the input, and orders of two seeds do not follow each other', () => {
    const count = 50_000
    const order = orderOf(ids, count, 17)
    expect(Math.abs(correlation(order))).toBeLessThan(5 / Math.sqrt(count))
    const other = orderOf(ids, count, 18)
    const placeIn = new Array<number>(count)
    for (const [place, one] of order.entries()) placeIn[one] = place
    expect(Math.abs(correlation(other.map((one) => placeIn[one]!)))).toBeLessThan(
      5 / Math.sqrt(count),
    )
    // Kolmogorov and Smirnov: any tenth of the input is spread evenly over the order.
    for (let tenth = 0; tenth < 10; tenth++) {
      const isIn = (one: number): boolean => Math.floor((one * 10) / count) === tenth
      expect(unevenness(order.map(isIn))).toBeLessThan(2.2)
    }
  })

  test('all 64 bits of the hash are fair, and of each other independent', () => {
    const count = 20_000
    const ones = new Array<number>(64).fill(0)
    const both = Array.from({ length: 64 }, () => new Array<number>(64).fill(0))
    for (const [high, low] of hashesOf(ids, count, 3)) {
      const set: number[] = []
      for (let bit = 0; bit < 64; bit++) {
        if ((((bit < 32 ? high : low) >>> (bit & 31)) & 1) === 1) set.push(bit)
      }
      for (const bit of set) {
        ones[bit]!++
        for (const other of set) both[bit]![other]!++
      }
    }
    for (const n of ones) expect(Math.abs(n - count / 2)).toBeLessThan(5 * Math.sqrt(count / 4))
    const pairs = both.flatMap((row, bit) => row.slice(bit + 1))
    const deviation = Math.sqrt((count * 3) / 16)
    for (const n of pairs) expect(Math.abs(n - count / 4)).toBeLessThan(5.5 * deviation)
  })
})

test('no two of 300,000 examples share 64 bits, though some share the first 32', () => {
  const count = 300_000
  const hashes = [...hashesOf(shapes['numbered requests']!, count, 5)]
  const expected = count ** 2 / 2 ** 33
  const collisions = count - new Set(hashes.map(([high]) => high)).size
  expect(Math.abs(collisions - expected)).toBeLessThan(5 * Math.sqrt(expected))
  const whole = hashes.map(([high, low]) => (BigInt(high) << 32n) | BigInt(low >>> 0))
  expect(new Set(whole).size).toBe(count)
})

test('where an id ends counts', () => {
  const hash = new ExampleHash(1)
  const seen = [
    ['ab', 'c'],
    ['a', 'bc'],
    ['abc', ''],
    ['', 'abc'],
  ].map(([request, item]) => {
    // prettier-ignore
    hash.of(bodyOf(request!, item!))
    return `${hash.high}/${hash.low}`
  })
  expect(new Set(seen).size).toBe(4)
})

test('the order of a day is that of the hashes, in memory and through files', async () => {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-shuffle-'))
  onTestFinished(() => fs.rm(dir, { recursive: true, force: true }))
  const count = 3_000
  const ids = shapes['numbered requests']!
  const hashes = [...hashesOf(ids, count, 9)]
  const keys = hashes.map(([high, low]) => (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0))
  const wanted = Array.from({ length: count }, (_, i) => i).sort((a, b) =>
    keys[a]! < keys[b]! ? -1 : 1,
  )
  const bodies = Array.from({ length: count }, (_, i) => exampleBody(...ids(i)))
  for (const bytesMax of [1e9, 50_000, 2_000]) {
    const day = await shuffleDay(asyncOf([bodies]), { seed: 9, bytesMax, spillDir: `${dir}/spill` })
    const read: number[] = []
    for await (const some of day.examples(0)) {
      read.push(...some.map(({ requestId }) => Number(requestId.slice(-10))))
    }
    await day.close()
    expect(read).toEqual(wanted)
  }
})

test('many entries with few different hashes are sorted, too', () => {
  const count = 5_000
  const bodies = Array.from({ length: count }, (_, i) => bodyOf(`r${(i * 7_919) % count}`, 'i'))
  const bytes = packed(bodies, (i) => [[-5, 7, 7][i % 3]!, [2, 2, -3][(i >> 2) % 3]!])
  const order = [...sortedEntries(bytes, count)].map((start) => {
    const end = start + 12 + bytes.readUInt32LE(start)
    const hash = [bytes.readUInt32LE(start + 4), bytes.readUInt32LE(start + 8)] as const
    return { hash: hash[0] * 2 ** 32 + hash[1], body: bytes.subarray(start + 12, end) }
  })
  for (const [i, { hash, body }] of order.entries()) {
    const next = order[i + 1]
    if (next === undefined) continue
    expect(hash < next.hash || (hash === next.hash && Buffer.compare(body, next.body) < 0)).toBe(true) // prettier-ignore
  }
})

/** Numbers of the examples in their order. */
function orderOf(ids: Ids, count: number, seed: number): number[] {
  const hashes = [...hashesOf(ids, count, seed)]
  const bodies = Array.from({ length: count }, (_, i) => bodyOf(String(i), ''))
  const bytes = packed(bodies, (i) => hashes[i]!)
  return [...sortedEntries(bytes, count)].map((start) => {
    const from = start + 13
    return Number(bytes.toString('latin1', from, from + (bytes[from - 1]! >> 1)))
  })
}

function packed(
  bodies: readonly Buffer[],
  hashOf: (i: number) => readonly [number, number],
): Buffer {
  const bytes = Buffer.alloc(bodies.reduce((sum, body) => sum + entryBytes(body), 0))
  let at = 0
  for (const [i, body] of bodies.entries()) {
    writeEntry(bytes, at, ...hashOf(i), body)
    at += entryBytes(body)
  }
  return bytes
}

function* hashesOf(ids: Ids, count: number, seed: number): Generator<[number, number]> {
  const hash = new ExampleHash(seed)
  for (let i = 0; i < count; i++) {
    hash.of(bodyOf(...ids(i)))
    yield [hash.high, hash.low]
  }
}

/** As much of an example as the hash looks at. */
function bodyOf(requestId: string, itemId: string): Buffer {
  writer.start(Buffer.alloc(0))
  for (const id of [requestId, 'user', itemId]) writer.string(id)
  return writer.finish()
}

const writer = new AvroWriter(64)

function exampleBody(requestId: string, itemId: string): Buffer {
  return bodyOfExample(
    encodeExample({
      ...{ kind: 'example', requestId, userId: 'u', itemId, eventTimeMs: 1, impressionTimeMs: 1 },
      ...{ position: 0, weight: 1, scenario: '', hardNegatives: [], features: noFeatures },
    }),
  )!
}

/** Of each number's place with the number. */
function correlation(order: readonly number[]): number {
  const mean = (order.length - 1) / 2
  let covariance = 0
  let variance = 0
  for (const [place, one] of order.entries()) {
    covariance += (place - mean) * (one - mean)
    variance += (place - mean) ** 2
  }
  return covariance / variance
}

/** The statistic of Kolmogorov and Smirnov: how far the share of those that are in has been from even, at most. */
function unevenness(isIn: readonly boolean[]): number {
  const total = isIn.filter(Boolean).length
  let soFar = 0
  let distance = 0
  for (const [place, one] of isIn.entries()) {
    if (one) soFar++
    distance = Math.max(distance, Math.abs(soFar / total - (place + 1) / isIn.length))
  }
  return distance * Math.sqrt((total * isIn.length) / (isIn.length - total))
}

async function* asyncOf<T>(values: readonly T[]): AsyncGenerator<T> {
  for (const value of values) yield await Promise.resolve(value)
}
