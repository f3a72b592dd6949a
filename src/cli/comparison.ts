import { Worker } from 'node:worker_threads'
import type { Config } from '../config/schema.ts'
import { FreshetError, messageOf, type ErrorCode } from '../errors.ts'
import type { ComparedFigures } from '../streams/comparison.ts'
import type { DayToCompare } from './comparison-day.ts'

export interface ComparisonStart {
  readonly config: Pick<Config, 'kafka' | 'learner' | 'model' | 'artifacts'>
}

export type ComparisonRequest =
  { readonly kind: 'day'; readonly day: DayToCompare } | { readonly kind: 'close' }

export type ComparisonAnswer =
  | { readonly kind: 'compared'; readonly figures: ComparedFigures }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string }

const closeMs = 5_000

/** Compares day by day in a thread of its own, beside the pipeline and with nothing of it but its topics and generations. */
export class ComparisonThread {
  /** Of everything compared so far. */
  figures: ComparedFigures | null = null
  readonly #worker: Worker
  #comparing: Promise<void> = Promise.resolve()
  #isGone = false
  #answered: { resolve: () => void; reject: (error: Error) => void } | null = null

  constructor({ kafka, learner, model, artifacts }: ComparisonStart['config']) {
    const start: ComparisonStart = { config: { kafka, learner, model, artifacts } }
    this.#worker = new Worker(workerFile(), { workerData: start })
    this.#worker.unref()
    const gone = (why: string): void => {
      this.#isGone = true
      const message = `the comparison's thread ended: ${why}`
      this.#answered?.reject(new FreshetError('SERVER_FAILED', message))
    }
    this.#worker.on('error', (error) => gone(messageOf(error)))
    this.#worker.on('exit', (code) => gone(`exit code ${code}`))
    this.#worker.on('message', (answer: ComparisonAnswer) => this.#onAnswer(answer))
  }

  /**
   * Resolves when the day before has been compared: so the pipeline is never further ahead than a day, whose generation is still kept.
   * @throws FreshetError what went wrong with the day before
   */
  async compare(day: DayToCompare): Promise<void> {
    await this.#comparing
    this.#comparing = new Promise<void>((resolve, reject) => {
      this.#answered = { resolve, reject }
      this.#worker.postMessage({ kind: 'day', day } satisfies ComparisonRequest)
    })
    this.#comparing.catch(() => undefined)
  }

  /** Resolves when every day has been compared. */
  async settled(): Promise<void> {
    await this.#comparing
  }

  async close(): Promise<void> {
    if (this.#isGone) return
    const exited = new Promise((resolve) => this.#worker.once('exit', resolve))
    this.#worker.postMessage({ kind: 'close' } satisfies ComparisonRequest)
    const timer = setTimeout(() => void this.#worker.terminate(), closeMs)
    await exited
    clearTimeout(timer)
  }

  #onAnswer(answer: ComparisonAnswer): void {
    if (answer.kind === 'failed') {
      this.#answered?.reject(new FreshetError(answer.code, `comparison: ${answer.message}`))
      return
    }
    this.figures = answer.figures
    this.#answered?.resolve()
  }
}

/** Vitest runs the sources, but a worker is started by Node alone: it runs the compiled file. */
function workerFile(): URL {
  const here = import.meta.url
  if (!here.endsWith('.ts')) return new URL('./comparison-worker.js', here)
  return new URL(here.replace('/src/', '/dist/').replace(/[^/]*$/, 'comparison-worker.js'))
}
