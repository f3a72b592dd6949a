import { FreshetError } from '../errors.ts'
import { noFeatures } from '../records/types.ts'
import type { Features, RecallReply, RecallRequest, RecallStatus } from '../records/types.ts'
import type { TopicPartition } from './ports.ts'

/** Features by name, as they are at request time. Those that the model does not know are ignored. */
export interface QueryFeatures {
  readonly categorical?: Readonly<Record<string, string | readonly string[]>>
  readonly numeric?: Readonly<Record<string, number>>
  readonly dense?: Readonly<Record<string, readonly number[]>>
}

export interface RecallQuery {
  /** A number is taken for its decimal form. */
  readonly userId: string | number
  /** How many items, from 1 to the pod's `recall.kMax`. */
  readonly k: number
  readonly features?: QueryFeatures
  readonly scenario?: string
  /** Items that must not come back, besides those the user clicked recently. */
  readonly exclude?: readonly (string | number)[]
  /** Only items with one of these values of a categorical item feature. */
  readonly filter?: { readonly feature: string; readonly values: readonly string[] }
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface RecalledItem {
  readonly itemId: string
  /** Cosine of user and item. */
  readonly score: number
  /** Empty where the catalogue has none. */
  readonly title: string
}

export interface RecallResult {
  readonly status: RecallStatus
  /** Why, where the status is not OK. */
  readonly message: string
  /** Best first. */
  readonly items: readonly RecalledItem[]
  /** The one generation that everything in this reply comes from; empty for none. */
  readonly generation: string
  /** Newest set of item overrides in it. */
  readonly overrideSequence: number
  /** Event time of the newest click that the user's row has learned from; null: none. */
  readonly userEventTime: Date | null
  /** Offset of its example in the examples topic; -1: the row is as the generation came with it; null: the default row served. */
  readonly userOffset: number | null
  /** Event time through which the clicks of the user's partition have been learned; null: unknown. */
  readonly learnedThrough: Date | null
  /** From sending the request to having the reply. */
  readonly latencyMs: number
}

const intMax = 2 ** 31 - 1

/** @throws FreshetError USAGE_INVALID naming the argument */
export function requestOf(
  query: RecallQuery,
  correlationId: string,
  replies: TopicPartition,
  defaultTimeoutMs: number,
): RecallRequest {
  const { k, timeoutMs = defaultTimeoutMs, scenario = '', filter } = query
  if (!Number.isInteger(k) || k < 1 || k > intMax) {
    throw usage(`k must be a whole number of at least 1, not ${String(k)}`)
  }
  if (!(timeoutMs > 0 && timeoutMs <= intMax)) {
    throw usage(`timeoutMs must be a number above 0, not ${String(timeoutMs)}`)
  }
  if (typeof scenario !== 'string') throw usage('scenario must be a string')
  return {
    correlationId,
    userId: idOf(query.userId, 'userId'),
    features: featuresOf(query.features),
    k,
    scenario,
    exclude: (query.exclude ?? []).map((id, i) => idOf(id, `exclude[${i}]`)),
    filter: filter === undefined ? null : filterOf(filter),
    timeoutMs: Math.ceil(timeoutMs),
    replyTopic: replies.topic,
    replyPartition: replies.partition,
    withTitles: true,
  }
}

export function resultOf(reply: RecallReply, latencyMs: number): RecallResult {
  const { status, message, items, generation, overrideSequence, userOffset } = reply
  return {
    ...{ status, message, items, generation, overrideSequence, userOffset, latencyMs },
    userEventTime: dateOf(reply.userEventTimeMs),
    learnedThrough: dateOf(reply.learnedThroughMs),
  }
}

function idOf(id: unknown, name: string): string {
  if (typeof id === 'string' && id !== '') return id
  if (Number.isSafeInteger(id)) return String(id)
  const got = typeof id === 'string' ? 'an empty string' : `${typeof id} ${String(id)}`
  throw usage(`${name} must be a string or a whole number, not ${got}`)
}

function filterOf(filter: NonNullable<RecallQuery['filter']>): RecallRequest['filter'] {
  const { feature, values } = filter
  if (typeof feature !== 'string' || feature === '') throw usage('filter.feature must be a name')
  if (!isListOf('string', values) || values.length === 0) {
    throw usage('filter.values must be a list of at least one string')
  }
  return { feature, values }
}

function featuresOf(features: QueryFeatures | undefined): Features {
  if (features === undefined) return noFeatures
  const { categorical = {}, numeric = {}, dense = {} } = features
  return {
    categorical: mapOf(categorical, 'categorical', 'a string or a list of strings', (value) => {
      const values = typeof value === 'string' ? [value] : value
      return isListOf('string', values) ? values : null
    }),
    numeric: mapOf(numeric, 'numeric', 'a finite number', (value) =>
      Number.isFinite(value) ? value : null,
    ),
    dense: mapOf(dense, 'dense', 'a list of finite numbers', (value) =>
      isListOf('number', value) && value.every((each) => Number.isFinite(each)) ? value : null,
    ),
  }
}

function mapOf<Value, Feature>(
  values: Readonly<Record<string, Value>>,
  kind: string,
  expected: string,
  convert: (value: Value) => Feature | null,
): ReadonlyMap<string, Feature> {
  const features = new Map<string, Feature>()
  for (const [name, value] of Object.entries(values)) {
    const feature = convert(value)
    if (feature === null) throw usage(`features.${kind}.${name} must be ${expected}`)
    features.set(name, feature)
  }
  return features
}

function isListOf(type: 'string' | 'number', values: unknown): boolean {
  return Array.isArray(values) && values.every((value) => typeof value === type)
}

function dateOf(timeMs: number): Date | null {
  return timeMs > 0 ? new Date(timeMs) : null
}

function usage(message: string): FreshetError {
  return new FreshetError('USAGE_INVALID', `recall: ${message}`)
}
