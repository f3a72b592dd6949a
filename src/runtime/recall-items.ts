import { messageOf } from '../errors.ts'
import { decodeItem } from '../records/codec.ts'
import type { Catalogue } from '../streams/catalogue.ts'
import type { SourceRecord } from '../streams/stage.ts'
import type { KafkaClient, Logger, Tail } from './ports.ts'

/** Keeps the catalogue at the state of the items topic. */
export function followItems(
  kafka: Pick<KafkaClient, 'tail'>,
  topic: string,
  catalogue: Catalogue,
  log: Logger,
): Promise<Tail> {
  return kafka.tail({
    topics: [topic],
    from: 'earliest',
    onBatch: ({ records }) => {
      for (const record of records) apply(catalogue, record, log)
    },
  })
}

function apply(
  catalogue: Catalogue,
  { key, value, partition, offset }: SourceRecord,
  log: Logger,
): void {
  try {
    if (value !== null) {
      const item = decodeItem(value)
      catalogue.apply(item.itemId, item)
    } else if (key !== null) {
      catalogue.apply(key.toString(), null)
    }
  } catch (error) {
    // The learner reads the same record and makes it a dead letter: once is enough.
    log.warn(
      { partition, offset, error: messageOf(error) },
      'passed over a record of the items topic',
    )
  }
}
