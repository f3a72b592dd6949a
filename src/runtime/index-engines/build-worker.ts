import fs from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import type { HierarchicalNSW } from 'hnswlib-node'
import { FreshetError, messageOf } from '../../errors.ts'
import { BruteForceIndex } from '../../index/brute-force.ts'
import { readHnswVectors } from '../../index/hnsw-file.ts'
import { HnswIndex } from '../../index/hnsw-index.ts'
import { measureRecall } from '../../index/recall-sample.ts'
import { sha256Of } from '../generation/artifact-store.ts'
import type { WorkerJob, WorkerMessage } from './build-thread.ts'
import { loadHnswlib } from './hnswlib.ts'

const progressMs = 1_000

try {
  await build(workerData as WorkerJob)
} catch (error) {
  tell({ kind: 'failed', message: messageOf(error) })
}

/** Here everything may block: nobody else waits for this thread. */
async function build(job: WorkerJob): Promise<void> {
  const hnswlib = loadHnswlib()
  if (typeof hnswlib === 'string')
    throw new FreshetError('TOOL_MISSING', `hnswlib-node: ${hnswlib}`)
  const { dim, vectors, file } = job
  const count = vectors.length / dim
  const ids = Array.from({ length: count }, (_, slot) => String(slot))
  // Checks every value: the native side takes what is not finite without a word.
  const exact = finish(BruteForceIndex.over(dim, ids, vectors))
  const built = new hnswlib.HierarchicalNSW('ip', dim)
  addAll(built, job, count)
  built.writeIndexSync(file)

  const bytes = fs.readFileSync(file)
  const written = finish(readHnswVectors(bytes, { dim, count }))
  if (!Buffer.from(written.buffer).equals(Buffer.from(vectors.buffer))) {
    throw new FreshetError('FILE_INVALID', `${file} holds other vectors than were written`)
  }
  // What is measured is what will be served: the file, read back.
  const read = new hnswlib.HierarchicalNSW('ip', dim)
  await read.readIndex(file)
  const index = new HnswIndex(read, exact, job.efSearch)
  const recall = finish(measureRecall(index, exact, vectors, job.sample))
  tell({ kind: 'done', sha256: sha256Of(bytes), bytes: bytes.length, recall })
}

function addAll(
  graph: HierarchicalNSW,
  { vectors, dim, m, efConstruction }: WorkerJob,
  count: number,
): void {
  graph.initIndex({ maxElements: count, m, efConstruction })
  let toldAt = performance.now()
  for (let label = 0; label < count; label++) {
    graph.addPoint(Array.from(vectors.subarray(label * dim, (label + 1) * dim)), label)
    if (performance.now() - toldAt < progressMs) continue
    toldAt = performance.now()
    tell({ kind: 'progress', share: (label + 1) / count })
  }
}

function tell(message: WorkerMessage): void {
  parentPort!.postMessage(message)
}

function finish<Result>(steps: Iterator<void, Result>): Result {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}
