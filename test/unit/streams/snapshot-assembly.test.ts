import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { SnapshotChunk, SnapshotManifest } from '../../../src/records/types.ts'
import { SnapshotAssembly } from '../../../src/streams/snapshot-assembly.ts'

const sizes = { model: 1, 'item-ids-0': 3, index: 7 }

function manifestOf(generation: string, revision: number): SnapshotManifest {
  return {
    ...{ kind: 'manifest', generation, revision, engine: 'exact', dim: 4, items: 9 },
    ...{ createdAtMs: 0, reference: null, overrideSequence: 0, recall: 1 },
    parts: Object.entries(sizes).map(([part, chunks]) => ({ part, chunks, bytes: 0, sha256: '' })),
  }
}

function chunkOf(generation: string, revision: number, part: string, chunk: number): SnapshotChunk {
  const data = Buffer.from(`${generation} ${revision} ${part} ${chunk}`)
  const sha256 = createHash('sha256').update(data).digest('hex')
  return { kind: 'chunk', generation, revision, part, chunk, sha256, data }
}

function chunksOf(generation: string, revision: number): SnapshotChunk[] {
  return Object.entries(sizes).flatMap(([part, count]) =>
    Array.from({ length: count }, (_, chunk) => chunkOf(generation, revision, part, chunk)),
  )
}

const wanted = chunksOf('g', 2)
const others = [...chunksOf('g', 1), ...chunksOf('h', 2), chunkOf('g', 2, 'alien', 0)]
const flipped = (chunk: SnapshotChunk): SnapshotChunk => {
  const data = Buffer.from(chunk.data)
  data[0]! ^= 1
  return { ...chunk, data }
}

function assembled(chunks: readonly SnapshotChunk[]): string[][] {
  const assembly = new SnapshotAssembly(manifestOf('g', 2))
  for (const chunk of chunks) assembly.add(chunk)
  return [...assembly.finish()].map(([part, data]) => [part, ...data.map(String)])
}

const expected = Object.keys(sizes).map((part) => [
  part,
  ...wanted.filter((chunk) => chunk.part === part).map(({ data }) => String(data)),
])

/** Numbers that a chunk's part does not have. */
const strays = [-1, 7, 2 ** 31 - 1].map((chunk) => ({ ...wanted.at(-1)!, chunk }))

test('whatever the order, with repeats, damaged copies and chunks of others between: the snapshot', () => {
  const noise = fc.subarray([...others, ...wanted, ...wanted.map(flipped), ...strays])
  fc.assert(
    fc.property(noise, fc.infiniteStream(fc.nat()), (extra, order) => {
      const all = [...wanted, ...extra]
      const shuffled = all
        .map((chunk) => ({ chunk, rank: order.next().value as number }))
        .sort((a, b) => a.rank - b.rank)
        .map(({ chunk }) => chunk)
      expect(assembled(shuffled)).toEqual(expected)
    }),
  )
})

test('with one chunk missing or damaged: a refusal that names it, never a snapshot', () => {
  const index = fc.nat(wanted.length - 1)
  fc.assert(
    fc.property(index, fc.boolean(), fc.subarray(others), (at, isDamaged, extra) => {
      const { part, chunk } = wanted[at]!
      const rest = wanted.filter((_, i) => i !== at)
      const chunks = [...rest, ...extra, ...(isDamaged ? [flipped(wanted[at]!)] : [])]
      const what = isDamaged ? 'does not have the sha256 it names' : 'is missing'
      const count = sizes[part as keyof typeof sizes]
      expect(() => assembled(chunks)).toThrow(
        expect.objectContaining({
          code: 'SNAPSHOT_INVALID',
          message: `snapshot g, revision 2: chunk ${chunk} of ${count} of part ${part} ${what}`,
        }),
      )
    }),
  )
})

test('of two good chunks with the same number the later one stands', () => {
  const data = Buffer.from('written again')
  const sha256 = createHash('sha256').update(data).digest('hex')
  const again = { ...wanted[0]!, data, sha256 }
  expect(assembled([...wanted, again])[0]).toEqual(['model', 'written again'])
  expect(assembled([again, ...wanted])).toEqual(expected)
})
