import { expect, test } from 'vitest'
import { encodeFeatures } from '../../../src/model/features.ts'
import { fnv1a } from '../../../src/model/hash.ts'
import type { TowerParameters, TowerSpec } from '../../../src/model/spec.ts'
import type { Features } from '../../../src/records/types.ts'
import { noFeatures } from '../../../src/records/types.ts'

const tower: TowerSpec = {
  hidden: [1],
  features: [
    { kind: 'categorical', name: 'genre', buckets: 4, dim: 2 },
    { kind: 'numeric', name: 'price', transform: 'log1p', mean: 1, deviation: 2 },
    { kind: 'dense', name: 'image', dim: 2 },
  ],
}
const parameters: TowerParameters = {
  tensors: {},
  embeddings: { genre: Float32Array.of(1, 10, 2, 20, 3, 30, 4, 40) },
  statistics: {},
}

function encode(features: Partial<Features>): { values: number[]; unusable: number } {
  const out = new Float32Array(7).fill(77)
  const unusable = encodeFeatures(tower, parameters, { ...noFeatures, ...features }, out, 1)
  expect(out[0]).toBe(77)
  return { values: [...out.subarray(1)], unusable }
}

test('the bucket hash is FNV-1a over UTF-8', () => {
  // Reference values of the FNV authors; the last two are bytes of UTF-8, computed over Buffer.from(text).
  expect(fnv1a('')).toBe(0x811c9dc5)
  expect(fnv1a('a')).toBe(0xe40c292c)
  expect(fnv1a('foobar')).toBe(0xbf9cf968)
  for (const text of ['é', '漢', '😀']) {
    let hash = 0x811c9dc5
    for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
    expect(fnv1a(text)).toBe(hash)
  }
})

test('categorical values are averaged, numbers standardised, dense ones copied', () => {
  const { values, unusable } = encode({
    categorical: new Map([['genre', ['a', 'foobar']]]),
    numeric: new Map([['price', Math.E - 1]]),
    dense: new Map([['image', [5, 6]]]),
  })
  const rows = [fnv1a('a') % 4, fnv1a('foobar') % 4]
  const mean = (rows[0]! + 1 + rows[1]! + 1) / 2
  expect(values).toEqual([mean, 10 * mean, 0, 0, 5, 6])
  expect(unusable).toBe(0)
})

test('what is missing is zeros, and a flag where it is a number', () => {
  expect(encode({})).toEqual({ values: [0, 0, 0, 1, 0, 0], unusable: 0 })
})

test.each([
  ['NaN', { numeric: new Map([['price', NaN]]) }],
  ['the logarithm of a negative number', { numeric: new Map([['price', -3]]) }],
  ['an infinite entry', { dense: new Map([['image', [1, Infinity]]]) }],
  ['an entry that would overflow', { dense: new Map([['image', [1e30, 1]]]) }],
  ['the wrong length', { dense: new Map([['image', [1, 2, 3]]]) }],
])('%s counts as missing, and is counted', (_, features) => {
  expect(encode(features)).toEqual({ values: [0, 0, 0, 1, 0, 0], unusable: 1 })
})
