import fs from 'node:fs/promises'
import { Worker } from 'node:worker_threads'
import { FreshetError } from '../../errors.ts'
import type { RecallSample } from '../../index/recall-sample.ts'
import { sha256Of } from '../generation/artifact-store.ts'
import { temporaryFile } from './hnswlib.ts'

export interface IndexJob {
  readonly dim: number
  /** [n x dim]; row i gets label i */
  readonly vectors: Float32Array
  readonly m: number
  readonly efConstruction: number
  readonly efSearch: number
  readonly sample: RecallSample
}

export interface IndexResult {
  /** The index as hnswlib writes it. */
  readonly file: Buffer
  readonly recall: number
}

/** What a worker thread is given: `vectors` lies in shared memory. */
export interface WorkerJob extends IndexJob {
  /** Where the index goes. */
  readonly file: string
}

/** What it answers. */
export type WorkerMessage =
  | { readonly kind: 'progress'; readonly share: number }
  | {
      readonly kind: 'done'
      readonly sha256: string
      readonly bytes: number
      readonly recall: number
    }
  | { readonly kind: 'failed'; readonly message: string }

export interface IndexThread {
  /**
   * Builds an HNSW index in a thread of its own, and measures it there, as it was read back from its file.
   * @throws FreshetError FILE_INVALID; the signal's reason, after the thread has ended
   */
  build(
    job: IndexJob,
    signal: AbortSignal,
    onProgress?: (share: number) => void,
  ): Promise<IndexResult>
}

/** A thread for each build: they are hours apart, and an index that crashes its reader takes no more than a thread's work along. */
export const indexThread: IndexThread = {
  async build(job, signal, onProgress = () => {}) {
    signal.throwIfAborted()
    const file = temporaryFile()
    try {
      const done = await runWorker(
        { ...job, file, vectors: shared(job.vectors) },
        signal,
        onProgress,
      )
      const bytes = await fs.readFile(file)
      // Nothing of what hnswlib writes is ever reported as failed: the worker read back what this thread must find, too.
      if (bytes.length !== done.bytes || sha256Of(bytes) !== done.sha256) {
        throw new FreshetError('FILE_INVALID', `${file} is not what was built: is the disk full?`)
      }
      return { file: bytes, recall: done.recall }
    } finally {
      await fs.rm(file, { force: true })
    }
  },
}

/** Vitest runs the sources, but a worker is started by Node alone: it runs the compiled file. */
function workerFile(): URL {
  const here = import.meta.url
  if (!here.endsWith('.ts')) return new URL('./build-worker.js', here)
  return new URL(here.replace('/src/', '/dist/').replace(/[^/]*$/, 'build-worker.js'))
}

function runWorker(
  job: WorkerJob,
  signal: AbortSignal,
  onProgress: (share: number) => void,
): Promise<Extract<WorkerMessage, { kind: 'done' }>> {
  const worker = new Worker(workerFile(), { workerData: job })
  return new Promise<Extract<WorkerMessage, { kind: 'done' }>>((resolve, reject) => {
    const failed = (message: string): void => reject(new FreshetError('FILE_INVALID', message))
    worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'progress') onProgress(message.share)
      else if (message.kind === 'done') resolve(message)
      else failed(message.message)
    })
    worker.on('error', reject)
    worker.on('exit', (code) => failed(`the thread that builds the index ended with ${code}`))
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  }).finally(() => worker.terminate())
}

function shared(vectors: Float32Array): Float32Array {
  const copy = new Float32Array(new SharedArrayBuffer(vectors.byteLength))
  copy.set(vectors)
  return copy
}
