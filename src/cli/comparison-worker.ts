import { parentPort, workerData } from 'node:worker_threads'
import { FreshetError, messageOf } from '../errors.ts'
import { openDirectoryStore } from '../runtime/generation/artifact-store.ts'
import { createKafkaClient } from '../runtime/kafka/client.ts'
import { createLogger } from '../runtime/logger.ts'
import { topicNames } from '../records/topics.ts'
import { ComparisonDays } from './comparison-day.ts'
import type { ComparisonAnswer, ComparisonRequest, ComparisonStart } from './comparison.ts'

const { config } = workerData as ComparisonStart
const log = createLogger({ level: 'silent', format: 'text', write: () => {} })
const kafka = createKafkaClient({ config: config.kafka, log })
const days = new ComparisonDays({
  ...{ kafka, config },
  topics: topicNames(config.kafka.topicPrefix),
  store: openDirectoryStore(config.artifacts.dir),
})

parentPort!.on('message', (request: ComparisonRequest) => void answer(request))

async function answer(request: ComparisonRequest): Promise<void> {
  if (request.kind === 'close') {
    await days.close()
    await kafka.close()
    parentPort!.close()
    return
  }
  try {
    tell({ kind: 'compared', figures: await days.compare(request.day) })
  } catch (error) {
    const code = error instanceof FreshetError ? error.code : 'INVARIANT_VIOLATED'
    tell({ kind: 'failed', code, message: messageOf(error) })
  }
}

function tell(message: ComparisonAnswer): void {
  parentPort!.postMessage(message)
}
