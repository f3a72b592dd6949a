import { messageOf } from '../errors.ts'
import { decodeControlDocument } from '../records/codec.ts'
import type { ControlDocument } from '../records/types.ts'
import type { KafkaClient, Logger } from './ports.ts'

export interface ControlWatch {
  close(): Promise<void>
}

/**
 * Hands over the newest control document, if there is one, and then each further one. Resolves after the newest.
 * A record that cannot be read changes nothing: the document before it stays in force.
 */
export async function watchControl(
  kafka: Pick<KafkaClient, 'tail'>,
  topic: string,
  log: Logger,
  onDocument: (document: ControlDocument) => void,
): Promise<ControlWatch> {
  let newest: ControlDocument | null = null
  let isCaughtUp = false
  const tail = await kafka.tail({
    topics: [topic],
    from: 'earliest',
    onBatch: (batch) => {
      for (const { value, offset } of batch.records) {
        const document = value === null ? null : decode(value, topic, offset, log)
        if (document === null || (newest !== null && document.epoch <= newest.epoch)) continue
        newest = document
        if (isCaughtUp) onDocument(document)
      }
    },
  })
  await tail.caughtUp
  isCaughtUp = true
  if (newest !== null) onDocument(newest)
  return tail
}

/** The newest document, or null. */
export async function readControl(
  kafka: Pick<KafkaClient, 'tail'>,
  topic: string,
  log: Logger,
): Promise<ControlDocument | null> {
  const found: ControlDocument[] = []
  const watch = await watchControl(kafka, topic, log, (document) => found.push(document))
  await watch.close()
  return found.at(-1) ?? null
}

function decode(value: Buffer, topic: string, offset: number, log: Logger): ControlDocument | null {
  try {
    return decodeControlDocument(value)
  } catch (error) {
    log.error(
      { topic, offset, error: messageOf(error) },
      'a control document cannot be read and is ignored',
    )
    return null
  }
}
