import { Worker } from 'node:worker_threads'
import { FreshetError, messageOf } from '../../errors.ts'
import type { Logger } from '../ports.ts'
import type { FullUpdateHooks, FullUpdateJob, FullUpdateOutcome } from './job.ts'
import type { ThreadMessage, ThreadRequest } from './messages.ts'

/** One thread for all full updates: it stays open from day to day, as do the modules it has loaded. */
export interface FullUpdateThread {
  /**
   * One at a time. Whatever goes wrong in the thread comes back as a FreshetError with its code; when the thread itself ends,
   * the next run opens another one.
   * @throws FreshetError ABORTED when the signal fired
   */
  run(job: FullUpdateJob, hooks: FullUpdateHooks): Promise<FullUpdateOutcome>
  /** Ends what is running, too. */
  close(): Promise<void>
}

const closeMs = 5_000

export function openFullUpdateThread(log: Logger): FullUpdateThread {
  let worker: Worker | null = null
  let end: ((error: Error) => void) | null = null

  const open = (): Worker => {
    const opened = new Worker(threadFile())
    const gone = (why: string, cause?: unknown): void => {
      if (worker === opened) worker = null
      end?.(new FreshetError('SERVER_FAILED', `the full update's thread ended: ${why}`, { cause }))
    }
    opened.on('error', (error) => gone(messageOf(error), error))
    opened.on('exit', (code) => gone(`exit code ${code}`))
    opened.unref()
    return opened
  }

  return {
    async run(job, { onProgress, signal }) {
      if (end !== null) {
        throw new FreshetError('INVARIANT_VIOLATED', 'a full update is running in this thread')
      }
      if (signal.aborted) throw aborted(job)
      const running = (worker ??= open())
      const abort = (): void => running.postMessage({ kind: 'abort' } satisfies ThreadRequest)
      const onMessage = (message: ThreadMessage): void => {
        if (message.kind === 'progress') onProgress(message.progress)
        else if (message.kind === 'log') log[message.level](message.fields, message.message)
      }
      try {
        // Held open while it works, so that a process does not end in the middle.
        running.ref()
        return await new Promise<FullUpdateOutcome>((resolve, reject) => {
          end = reject
          running.on('message', (message: ThreadMessage) => {
            if (message.kind === 'done') resolve(message.outcome)
            else if (message.kind === 'failed') {
              reject(new FreshetError(message.code, message.message))
            } else onMessage(message)
          })
          signal.addEventListener('abort', abort, { once: true })
          running.postMessage({ kind: 'run', job } satisfies ThreadRequest)
        })
      } finally {
        end = null
        signal.removeEventListener('abort', abort)
        running.removeAllListeners('message')
        running.unref()
      }
    },

    async close() {
      const closing = worker
      if (closing === null) return
      const exited = new Promise((resolve) => closing.once('exit', resolve))
      closing.ref()
      closing.postMessage({ kind: 'close' } satisfies ThreadRequest)
      const timer = setTimeout(() => void closing.terminate(), closeMs)
      await exited
      clearTimeout(timer)
    },
  }
}

function aborted({ day }: FullUpdateJob): FreshetError {
  return new FreshetError('ABORTED', `the full update of ${day} was stopped`)
}

/** Vitest runs the sources, but a worker is started by Node alone: it runs the compiled file. */
function threadFile(): URL {
  const here = import.meta.url
  if (!here.endsWith('.ts')) return new URL('./thread.js', here)
  return new URL(here.replace('/src/', '/dist/').replace(/[^/]*$/, 'thread.js'))
}
