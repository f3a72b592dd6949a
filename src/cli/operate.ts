import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { FreshetError } from '../errors.ts'
import { decodeReport, encodeReport } from '../records/codec.ts'
import type { ReportBodies, RequestAnswer } from '../records/reports.ts'
import type { Report } from '../records/types.ts'
import { readControl } from '../runtime/control.ts'
import type { Connected } from './connect.ts'
import { eachReadable } from '../runtime/kafka/readable.ts'

export type Action = ReportBodies['request']['action']

export interface Outcome {
  readonly isAccepted: boolean
  readonly message: string
}

const repeatMs = 1_000

/**
 * Asks the controller, again each second until it answers: it answers in the same transaction as the document that does what was asked.
 * @param generation empty for a rollback to the one before the live one
 * @throws FreshetError TIMEOUT
 */
export async function ask(
  { kafka, topics, log }: Connected,
  action: Action,
  generation: string,
  timeoutMs: number,
): Promise<Outcome> {
  const document = await readControl(kafka, topics.control, log)
  if (document === null) {
    return { isAccepted: false, message: 'no controller has written a control document yet' }
  }
  const id = randomUUID()
  const answered = new AbortController()
  let outcome: Outcome | null = null
  const tail = await kafka.tail({
    topics: [topics.reports],
    from: 'latest',
    onBatch: eachReadable(decodeReport, (report) => {
      outcome ??= outcomeOf(report, id)
      if (outcome !== null) answered.abort()
    }),
  })
  const producer = await kafka.producer()
  try {
    const endsAt = performance.now() + timeoutMs
    while (outcome === null && performance.now() < endsAt) {
      const atMs = Date.now()
      const body = { action, id, live: document.live ?? '' }
      const request = {
        ...{ role: 'operator', instance: 'cli', kind: 'request' },
        generation,
        atMs,
      }
      const value = encodeReport({ ...request, body })
      await producer.send([{ topic: topics.reports, key: 'operator', value, timestampMs: atMs }])
      const waitMs = Math.min(repeatMs, endsAt - performance.now())
      await sleep(waitMs, undefined, { signal: answered.signal }).catch(() => undefined)
    }
  } finally {
    await producer.close()
    await tail.close()
  }
  if (outcome !== null) return outcome
  throw new FreshetError(
    'TIMEOUT',
    `no controller has answered within ${timeoutMs} ms: is one running? freshet status says who is; the request may still be done`,
  )
}

function outcomeOf({ role, kind, body }: Report, id: string): Outcome | null {
  if (role !== 'controller' || (kind !== 'accepted' && kind !== 'refused')) return null
  const answer = body as unknown as RequestAnswer
  return answer.id === id ? { isAccepted: kind === 'accepted', message: answer.message } : null
}
