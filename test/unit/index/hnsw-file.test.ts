import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readHnswVectors } from '../../../src/index/hnsw-file.ts'
import { finish, flat, hnswFile } from '../../support/hnsw.ts'
import { randomFrom, unitVector } from '../../support/vectors.ts'

const dim = 6
const count = 300
const random = randomFrom(2)
const rows = Array.from({ length: count }, () => unitVector(dim, random))
const file = hnswFile(dim, rows)
const shape = { dim, count }

test('gives the vectors back by label, to the bit', () => {
  expect(finish(readHnswVectors(file, shape))).toEqual(flat(rows, dim))
})

test('refuses a file of another count or dimension', () => {
  for (const wrong of [
    { dim, count: count - 1 },
    { dim, count: count + 1 },
    { dim: 5, count },
    { dim: 7, count },
  ]) {
    expectInvalid(file, wrong)
  }
  expectInvalid(hnswFile(dim, []), { dim, count: 0 })
})

test('refuses a file that ends early or goes on', () => {
  fc.assert(
    fc.property(fc.nat(file.length - 1), (length) =>
      expectInvalid(file.subarray(0, length), shape),
    ),
    { numRuns: 200 },
  )
  expectInvalid(Buffer.concat([file, Buffer.alloc(4)]), shape)
})

test.each([
  ['elements at most', 8],
  ['elements', 16],
  ['bytes an element', 24],
  ['bytes before a label', 32],
  ['bytes before a vector', 40],
  ['links a node', 56],
  ['links on level 0', 64],
  ['links as built', 72],
])('refuses a header whose %s are not what they must be', (_, at) => {
  for (const value of [0n, 1n, 1n << 31n, 1n << 53n, (1n << 64n) - 1n]) {
    const bad = Buffer.from(file)
    bad.writeBigUInt64LE(value, at)
    expectInvalid(bad, shape)
  }
})

test('refuses levels, an entry and links that lead out of the file', () => {
  const write = (at: number, value: number) => {
    const bad = Buffer.from(file)
    bad.writeUInt32LE(value, at)
    return bad
  }
  expectInvalid(write(48, 65), shape)
  expectInvalid(write(48, 0xffff_ffff), shape)
  expectInvalid(write(52, count), shape)
  // Number of links (the one too many would be a component that reads as element 0), a link, and the label of the first element.
  const zero = hnswFile(dim, [new Float32Array(dim), ...rows.slice(1)])
  zero.writeUInt32LE(33, 96)
  expectInvalid(zero, shape)
  expectInvalid(write(100, count), shape)
  expectInvalid(write(96 + 4 + 32 * 4 + dim * 4, count), shape)
})

test('whatever byte is another: refused, or the same vectors but for the one that was hit', () => {
  const good = finish(readHnswVectors(file, shape))
  fc.assert(
    fc.property(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const bad = Buffer.from(file)
      bad[at]! ^= change
      try {
        const vectors = finish(readHnswVectors(bad, shape))
        const others = vectors.filter((value, i) => !Object.is(value, good[i])).length
        expect(others).toBeLessThanOrEqual(1)
      } catch (error) {
        expect(error).toMatchObject({ code: 'FILE_INVALID' })
      }
    }),
    { numRuns: 500 },
  )
})

function expectInvalid(bytes: Uint8Array, must: typeof shape): void {
  expect(() => finish(readHnswVectors(bytes, must))).toThrow(
    expect.objectContaining({ code: 'FILE_INVALID' }),
  )
}
