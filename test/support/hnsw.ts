import fs from 'node:fs'
import type { HierarchicalNSW } from 'hnswlib-node'
import { BruteForceIndex } from '../../src/index/brute-force.ts'
import { HnswIndex } from '../../src/index/hnsw-index.ts'
import { checkVector } from '../../src/index/vector-index.ts'
import { loadHnswlib, temporaryFile } from '../../src/runtime/index-engines/hnswlib.ts'
import type { Hnswlib } from '../../src/runtime/index-engines/hnswlib.ts'

/** Tests need the native module: `npm run setup:index` builds it, `npm test` does so by itself. */
export function hnswlib(): Hnswlib {
  const loaded = loadHnswlib()
  if (typeof loaded === 'string') throw new Error(`hnswlib-node is not built: ${loaded}`)
  return loaded
}

export function finish<Result>(steps: Iterator<void, Result>): Result {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/** Rows one after the other. */
export function flat(vectors: Iterable<Float32Array>, dim: number): Float32Array {
  const rows = [...vectors]
  const all = new Float32Array(rows.length * dim)
  rows.forEach((row, i) => all.set(row, i * dim))
  return all
}

export function graphOf(dim: number, rows: readonly Float32Array[]): HierarchicalNSW {
  const graph = new (hnswlib().HierarchicalNSW)('ip', dim)
  graph.initIndex({ maxElements: rows.length, m: 16, efConstruction: 200 })
  rows.forEach((row, label) => graph.addPoint([...row], label))
  return graph
}

export function hnswIndex(
  dim: number,
  vectors: ReadonlyMap<string, Float32Array>,
  efSearch = 64,
): HnswIndex {
  const rows = [...vectors.values()]
  for (const [id, vector] of vectors) checkVector(vector, dim, id)
  const exact = finish(BruteForceIndex.over(dim, [...vectors.keys()], flat(rows, dim)))
  return new HnswIndex(graphOf(dim, rows), exact, efSearch)
}

/** The bytes that hnswlib writes. */
export function hnswFile(dim: number, rows: readonly Float32Array[]): Buffer {
  const file = temporaryFile()
  try {
    graphOf(dim, rows).writeIndexSync(file)
    return fs.readFileSync(file)
  } finally {
    fs.rmSync(file, { force: true })
  }
}
