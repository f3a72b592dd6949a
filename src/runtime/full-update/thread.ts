import { parentPort } from 'node:worker_threads'
import { FreshetError, messageOf } from '../../errors.ts'
import type { Logger } from '../ports.ts'
import type { FullUpdateJob } from './job.ts'
import type { ThreadMessage, ThreadRequest } from './messages.ts'
import { runFullUpdate } from './run.ts'

/** The other end of worker.ts. Here everything may block: nobody else waits for this thread. */
const port = parentPort!
let stop = new AbortController()
let running = Promise.resolve()

port.on('message', (request: ThreadRequest) => {
  if (request.kind === 'run') running = run(request.job)
  else stop.abort()
  // What runs still says how it ended.
  if (request.kind === 'close') void running.then(() => port.close())
})

async function run(job: FullUpdateJob): Promise<void> {
  stop = new AbortController()
  try {
    const hooks = {
      onProgress: (progress: Extract<ThreadMessage, { kind: 'progress' }>['progress']) =>
        tell({ kind: 'progress', progress }),
      signal: stop.signal,
    }
    tell({ kind: 'done', outcome: await runFullUpdate(job, hooks, forwardingLog({})) })
  } catch (error) {
    const code = error instanceof FreshetError ? error.code : 'INVARIANT_VIOLATED'
    tell({ kind: 'failed', code, message: messageOf(error) })
  }
}

function forwardingLog(bound: object): Logger {
  const at =
    (level: Extract<ThreadMessage, { kind: 'log' }>['level']) =>
    (fields: object, message: string): void =>
      tell({ kind: 'log', level, fields: { ...bound, ...fields }, message })
  return {
    ...{ debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
    child: (fields) => forwardingLog({ ...bound, ...fields }),
  }
}

function tell(message: ThreadMessage): void {
  port.postMessage(message)
}
