import { featuresOf } from '../../records/json.ts'
import type { RecallClient, RecallQuery, RecallResult } from '../recall-client.ts'
import { invalidBody, type Problem } from './problems.ts'
import { recallRequest, type RecallReplyBody } from './schemas.ts'

/** What `POST /v1/recall` answers; throws what the client throws. */
export async function recall(
  client: Pick<RecallClient, 'recall'>,
  body: unknown,
  signal: AbortSignal,
): Promise<RecallReplyBody | Problem> {
  const parsed = recallRequest.safeParse(body)
  if (!parsed.success) return invalidBody(parsed.error)
  const { user_id: userId, k, scenario, exclude, filter, timeout_ms: timeoutMs } = parsed.data
  const features = queryFeatures(parsed.data.features)
  const result = await client.recall({
    ...{ userId, k, features, scenario, exclude, timeoutMs, signal },
    ...(filter === undefined || filter === null ? {} : { filter }),
  })
  return answerOf(result)
}

/** Features mean the same here and in an impression. */
function queryFeatures(value: unknown): NonNullable<RecallQuery['features']> {
  const { categorical, numeric, dense } = featuresOf(value)
  return {
    categorical: Object.fromEntries(categorical),
    numeric: Object.fromEntries(numeric),
    dense: Object.fromEntries(dense),
  }
}

function answerOf(result: RecallResult): RecallReplyBody | Problem {
  const { status, message, items, generation, overrideSequence } = result
  switch (status) {
    case 'OK':
    case 'COLD_USER':
    case 'DEGRADED':
      return {
        ...{ status, message, generation },
        items: items.map(({ itemId, score, title }) => ({ item_id: itemId, score, title })),
        override_sequence: overrideSequence,
        user_offset: result.userOffset,
        user_event_time: result.userEventTime?.toISOString() ?? null,
        learned_through: result.learnedThrough?.toISOString() ?? null,
      }
    case 'INVALID':
      return { kind: 'refused-recall', detail: message }
    case 'NO_GENERATION':
      return { kind: 'no-generation', detail: message }
    case 'OVERLOADED':
      return { kind: 'overloaded', detail: message }
  }
}
