import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Tensor } from '../../../src/records/safetensors.ts'
import { encodeSafetensors, parseSafetensors } from '../../../src/records/safetensors.ts'

const encode = (tensors: Record<string, Tensor>, metadata?: Record<string, string>): Buffer =>
  Buffer.concat(encodeSafetensors(new Map(Object.entries(tensors)), metadata))

/** A file with this header, and so many bytes of data. */
function fileOf(header: unknown, dataBytes: number): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, Buffer.alloc(dataBytes)])
}

test('the bytes are those of the specification', () => {
  const bytes = encode({
    a: { shape: [3], data: Uint8Array.of(1, 2, 3) },
    b: { shape: [1, 2], data: Float32Array.of(1, -2) },
  })
  const header = JSON.stringify({
    b: { dtype: 'F32', shape: [1, 2], data_offsets: [0, 8] },
    a: { dtype: 'U8', shape: [3], data_offsets: [8, 11] },
  })
  const padded = Math.ceil(header.length / 8) * 8
  expect(bytes.readBigUInt64LE(0)).toBe(BigInt(padded))
  expect(bytes.toString('utf8', 8, 8 + padded)).toBe(header.padEnd(padded))
  expect([...bytes.subarray(8 + padded)]).toEqual([0, 0, 128, 63, 0, 0, 0, 192, 1, 2, 3])
})

const tensorArbitrary = fc
  .tuple(
    fc.constantFrom(Float64Array, Float32Array, Int32Array, Uint32Array, Uint8Array),
    fc.array(fc.nat(4), { maxLength: 3 }),
    fc.nat(255),
  )
  .map(([array, shape, seed]): Tensor => {
    const length = shape.reduce((product, size) => product * size, 1)
    return { shape, data: new array(length).map((_: number, i: number) => seed + i) }
  })

test('what is written is read back, wherever in memory it lies', () => {
  const names = fc.oneof(fc.string(), fc.constant('__proto__')).filter((n) => n !== '__metadata__')
  fc.assert(
    fc.property(
      fc.array(fc.tuple(names, tensorArbitrary), { maxLength: 5 }),
      fc.nat(7),
      (entries, shift) => {
        const tensors = new Map(entries)
        const bytes = Buffer.concat(encodeSafetensors(tensors, { made: 'here' }))
        const shifted = Buffer.alloc(bytes.length + shift)
        bytes.copy(shifted, shift)
        const parsed = parseSafetensors(shifted.subarray(shift))
        expect(parsed.metadata).toEqual({ made: 'here' })
        expect(new Map([...parsed.tensors].sort())).toEqual(new Map([...tensors].sort()))
      },
    ),
  )
})

test('every tensor is aligned to its element size', () => {
  const bytes = encode({
    a: { shape: [1], data: Uint8Array.of(1) },
    b: { shape: [1], data: Float64Array.of(1) },
    c: { shape: [1], data: Float32Array.of(1) },
  })
  for (const { data } of parseSafetensors(new Uint8Array(bytes)).tensors.values()) {
    expect(data.byteOffset % data.BYTES_PER_ELEMENT).toBe(0)
  }
})

const entry = { dtype: 'F32', shape: [2], data_offsets: [0, 8] }

test.each([
  ['too short', Buffer.alloc(7), 'cannot be a safetensors file'],
  ['a header longer than the file', Buffer.alloc(64, 0xff), 'the header claims'],
  ['no JSON', fileOf('{"a":', 0), 'the header is not JSON'],
  ['bytes that are no UTF-8', fileOf('x', 0).fill(0xff, 8), 'the header is not JSON'],
  ['a list', fileOf([], 0), 'not a JSON object'],
  ['an unknown type', fileOf({ a: { ...entry, dtype: 'toString' } }, 8), 'dtype toString'],
  ['a negative size', fileOf({ a: { ...entry, shape: [-2] } }, 8), 'its shape'],
  ['one position', fileOf({ a: { ...entry, data_offsets: [0] } }, 8), 'its data_offsets'],
  ['a shape beyond its data', fileOf({ a: { ...entry, shape: [3] } }, 8), 'takes 12 bytes'],
  ['data cut off', fileOf({ a: entry }, 7), 'tensor a ends at byte'],
  ['data left over', fileOf({ a: entry }, 9), 'the file has 9 bytes of data'],
  ['a gap', fileOf({ a: { ...entry, data_offsets: [4, 12] } }, 12), 'tensor a begins at 4'],
  ['an overlap', fileOf({ a: entry, b: entry }, 8), 'tensor b begins at 0'],
  ['metadata that is no text', fileOf({ __metadata__: { a: 1 } }, 0), '__metadata__'],
])('a file with %s is refused', (_, bytes, message) => {
  expect(() => parseSafetensors(bytes)).toThrow(message)
})

test('no damaged file does anything but parse or be refused', () => {
  const good = encode({ a: { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) } }, { k: 'v' })
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), (at, value) => {
      const bad = Buffer.from(good)
      bad[at] = value
      try {
        parseSafetensors(bad)
      } catch (error) {
        expect(error).toMatchObject({ code: 'FILE_INVALID' })
      }
    }),
  )
})

test('a shape that does not fit the data is not written', () => {
  expect(() => encode({ a: { shape: [3], data: new Float32Array(2) } })).toThrow('tensor a has 2')
})
