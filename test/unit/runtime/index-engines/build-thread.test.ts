import fs from 'node:fs'
import os from 'node:os'
import { expect, test } from 'vitest'
import { BruteForceIndex } from '../../../../src/index/brute-force.ts'
import { readHnswVectors } from '../../../../src/index/hnsw-file.ts'
import { HnswIndex } from '../../../../src/index/hnsw-index.ts'
import { indexThread } from '../../../../src/runtime/index-engines/build-thread.ts'
import type { IndexJob } from '../../../../src/runtime/index-engines/build-thread.ts'
import { readGraph } from '../../../../src/runtime/index-engines/hnswlib.ts'
import { finish, flat, hnswlib } from '../../../support/hnsw.ts'
import { randomFrom, unitVector } from '../../../support/vectors.ts'

const dim = 16
const random = randomFrom(4)
const count = 6_000
const vectors = flat(
  Array.from({ length: count }, () => unitVector(dim, random)),
  dim,
)
const ids = Array.from({ length: count }, (_, i) => `item-${i}`)
const job: IndexJob = {
  ...{ dim, vectors, m: 16, efConstruction: 100, efSearch: 128 },
  sample: { k: 100, queries: 30, seed: 1 },
}
const never = new AbortController().signal

test('an index is built beside the event loop, and is in a new process what it was measured as', async () => {
  let turns = 0
  const timer = setInterval(() => turns++, 5)
  const startedAt = performance.now()
  const { file, recall } = await indexThread.build(job, never)
  const elapsedMs = performance.now() - startedAt
  clearInterval(timer)
  expect(turns).toBeGreaterThan(elapsedMs / 5 / 4)
  expect(recall).toBeGreaterThan(0.95)

  expect(finish(readHnswVectors(file, { dim, count }))).toEqual(vectors)
  const exact = finish(BruteForceIndex.over(dim, ids, vectors))
  const graph = await readGraph(hnswlib(), file, { dim, count })
  const index = new HnswIndex(graph, exact, job.efSearch)
  for (let i = 0; i < 20; i++) {
    const query = unitVector(dim, random)
    const truth = new Set(exact.search(query, 100).ids)
    const hits = index.search(query, 100).ids.filter((id) => truth.has(id)).length
    expect(hits).toBeGreaterThan(80)
  }
  expect(leftovers()).toEqual([])
})

test('the same vectors give the same bytes', async () => {
  const [a, b] = await Promise.all([indexThread.build(job, never), indexThread.build(job, never)])
  expect(a.file.equals(b.file)).toBe(true)
})

test('an index that nobody waits for any more ends its thread and leaves nothing', async () => {
  const aborting = new AbortController()
  const building = indexThread.build(job, aborting.signal)
  aborting.abort(new Error('no longer wanted'))
  await expect(building).rejects.toThrow('no longer wanted')
  expect(leftovers()).toEqual([])
})

test('vectors that are not finite are refused before hnswlib sees them', async () => {
  const bad = vectors.slice()
  bad[70] = NaN
  await expect(indexThread.build({ ...job, vectors: bad }, never)).rejects.toMatchObject({
    code: 'FILE_INVALID',
    message: 'the vector of item "4" is not finite at component 6',
  })
})

test('a file that hnswlib cannot read is an error, and the process goes on', async () => {
  const { file } = await indexThread.build(job, never)
  const short = file.subarray(0, file.length - 1)
  await expect(readGraph(hnswlib(), short, { dim, count })).rejects.toMatchObject({
    code: 'FILE_INVALID',
  })
  const graph = await readGraph(hnswlib(), file, { dim, count })
  expect(graph.searchKnn([...vectors.subarray(0, dim)], 1).neighbors).toEqual([0])
})

function leftovers(): string[] {
  return fs
    .readdirSync(os.tmpdir())
    .filter((name) => name.startsWith(`freshet-index-${process.pid}-`))
}
