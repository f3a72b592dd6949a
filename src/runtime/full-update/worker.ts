import { Worker } from 'node:worker_threads'
import { FreshetError, invariant, messageOf } from '../../errors.ts'
import '../engines/tensorflow-environment.ts'
import type { Logger } from '../ports.ts'
import type { FullUpdateHooks, FullUpdateJob, FullUpdateOutcome } from './job.ts'
import type { ThreadMessage, ThreadRequest } from './messages.ts'

/** One thread for all full updates: it stays open from day to day, as do the modules it has loaded. */
export interface FullUpdateThread {
  /**
   * One at a time. Whatever goes wrong in the thread comes back as a FreshetError with its code; when the thread itself ends,
   * the next run opens another one.
   * @throws FreshetError ABORTED when the signal fired, SERVER_FAILED when the thread ended
   */
  run(job: FullUpdateJob, hooks: FullUpdateHooks): Promise<FullUpdateOutcome>
  /** Stops what is running, too. */
  close(): Promise<void>
}

const closeMs = 5_000

/** @param file what runs in the thread; only tests pass one */
export function openFullUpdateThread(log: Logger, file: URL = threadFile()): FullUpdateThread {
  let worker: Worker | null = null
  let isRunning = false
  const open = (): Worker => {
    const opened = new Worker(file)
    const forget = (): void => {
      if (worker === opened) worker = null
    }
    opened.on('error', forget)
    opened.on('exit', forget)
    return opened
  }
  return {
    async run(job, hooks) {
      invariant(!isRunning, 'a full update is running in this thread already')
      if (hooks.signal.aborted) {
        throw new FreshetError('ABORTED', `the full update of ${job.day} was stopped`)
      }
      isRunning = true
      const running = (worker ??= open())
      // Held open while it works, so that the process does not end in the middle.
      running.ref()
      try {
        return await runIn(running, job, hooks, log)
      } finally {
        running.unref()
        isRunning = false
      }
    },
    async close() {
      const closing = worker
      if (closing === null) return
      closing.ref()
      const exited = new Promise((resolve) => closing.once('exit', resolve))
      closing.postMessage({ kind: 'close' } satisfies ThreadRequest)
      const timer = setTimeout(() => void closing.terminate(), closeMs)
      await exited
      clearTimeout(timer)
    },
  }
}

function runIn(
  worker: Worker,
  job: FullUpdateJob,
  { onProgress, signal }: FullUpdateHooks,
  log: Logger,
): Promise<FullUpdateOutcome> {
  const abort = (): void => worker.postMessage({ kind: 'abort' } satisfies ThreadRequest)
  let stopListening = (): void => undefined
  return new Promise<FullUpdateOutcome>((resolve, reject) => {
    const onMessage = (message: ThreadMessage): void => {
      switch (message.kind) {
        case 'progress':
          return onProgress(message.progress)
        case 'log':
          return log[message.level](message.fields, message.message)
        case 'done':
          return resolve(message.outcome)
        case 'failed':
          return reject(new FreshetError(message.code, message.message))
      }
    }
    const onEnd = (why: string, cause?: unknown): void =>
      reject(new FreshetError('SERVER_FAILED', `the full update's thread ended: ${why}`, { cause }))
    const onError = (error: unknown): void => onEnd(messageOf(error), error)
    const onExit = (code: number): void => onEnd(`exit code ${code}`)
    worker.on('message', onMessage).once('error', onError).once('exit', onExit)
    signal.addEventListener('abort', abort, { once: true })
    stopListening = () => {
      worker.off('message', onMessage).off('error', onError).off('exit', onExit)
      signal.removeEventListener('abort', abort)
    }
    worker.postMessage({ kind: 'run', job } satisfies ThreadRequest)
  }).finally(() => stopListening())
}

/** Vitest runs the sources, but a worker is started by Node alone: it runs the compiled file. */
function threadFile(): URL {
  const here = import.meta.url
  if (!here.endsWith('.ts')) return new URL('./thread.js', here)
  return new URL(here.replace('/src/', '/dist/').replace(/[^/]*$/, 'thread.js'))
}
