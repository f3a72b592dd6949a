import { FreshetError, messageOf } from '../../errors.ts'
import type { ErrorCode } from '../../errors.ts'
import { createErrorFromCode } from './kafkajs.ts'

/** Protocol error codes that something here decides by. */
export const protocol = {
  offsetOutOfRange: 1,
  unknownTopic: 3,
  messageTooLarge: 10,
  recordListTooLarge: 18,
  topicDenied: 29,
  groupDenied: 30,
  outOfOrderSequence: 45,
  duplicateSequence: 46,
  invalidProducerEpoch: 47,
  unknownProducerId: 59,
  producerFenced: 90,
} as const

/** Leader moved, replicas missing, coordinator loading: the same request succeeds later. */
const passing = new Set([3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 41, 51, 56, 74, 75, 78, 88])

const passingTypes = new Set([
  'UNKNOWN_TOPIC_OR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_FOR_PARTITION',
  'REQUEST_TIMED_OUT',
  'REPLICA_NOT_AVAILABLE',
  'NETWORK_EXCEPTION',
  'GROUP_LOAD_IN_PROGRESS',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'NOT_COORDINATOR_FOR_GROUP',
  'NOT_ENOUGH_REPLICAS',
  'NOT_CONTROLLER',
  'CONCURRENT_TRANSACTIONS',
  'KAFKA_STORAGE_ERROR',
  'UNSTABLE_OFFSET_COMMIT',
])

const connectionNames = new Set([
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSRequestTimeoutError',
])

/** kafkajs gives it no name: a broker that was lost between being connected and being asked. */
const notConnected = 'Broker not connected'

const coordinatorNotFound = 'KafkaJSGroupCoordinatorNotFound'

/** Metadata is old or not there yet. */
const staleNames = new Set([
  'KafkaJSBrokerNotFound',
  'KafkaJSLockTimeout',
  'KafkaJSMetadataNotLoaded',
  'KafkaJSTopicMetadataNotLoaded',
  coordinatorNotFound,
])

const pendingTypes = new Set([
  'CONCURRENT_TRANSACTIONS',
  'GROUP_LOAD_IN_PROGRESS',
  'UNSTABLE_OFFSET_COMMIT',
])

const fencedTypes = new Set(['INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED'])

export function isPassing(code: number): boolean {
  return passing.has(code)
}

/** The broker's name of a protocol error, also inside the wrappers that kafkajs puts around it; '' for others. */
export function protocolType(error: unknown): string {
  return find(error, (e) => (typeof e.type === 'string' ? e.type : undefined)) ?? ''
}

export function isConnectionFailure(error: unknown): boolean {
  const isOne = (e: ErrorLike) => connectionNames.has(e.name) || e.message === notConnected
  return find(error, (e) => isOne(e) || undefined) ?? false
}

/** Whether the same call may succeed later without anybody doing anything about it. */
export function isRetriable(error: unknown): boolean {
  return (
    isConnectionFailure(error) ||
    passingTypes.has(protocolType(error)) ||
    (find(error, (e) => (staleNames.has(e.name) ? true : undefined)) ?? false)
  )
}

/** The right broker has answered and is not ready: new metadata would not help. */
export function isPending(error: unknown): boolean {
  return pendingTypes.has(protocolType(error))
}

export function isUnknownTopic(error: unknown): boolean {
  return protocolType(error) === 'UNKNOWN_TOPIC_OR_PARTITION'
}

export function isFenced(error: unknown): boolean {
  return fencedTypes.has(protocolType(error))
}

export function isCoordinatorNotFound(error: unknown): boolean {
  return find(error, (e) => e.name === coordinatorNotFound || undefined) ?? false
}

/** The error of a protocol code, named like those that kafkajs throws itself. */
export function protocolError(code: number): Error {
  return code === protocol.producerFenced
    ? Object.assign(new Error('A newer producer with the same transactional id exists'), {
        type: 'PRODUCER_FENCED',
      })
    : createErrorFromCode(code)
}

export function toFreshetError(error: unknown, what: string, code?: ErrorCode): FreshetError {
  if (error instanceof FreshetError) return error
  return new FreshetError(code ?? codeOf(error), `${what}: ${messageOf(error)}`, { cause: error })
}

function codeOf(error: unknown): ErrorCode {
  if (isFenced(error)) return 'PRODUCER_FENCED'
  const type = protocolType(error)
  if (type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE') return 'RECORD_TOO_LARGE'
  if (type === 'UNKNOWN_TOPIC_OR_PARTITION' || type === 'INVALID_TOPIC_EXCEPTION') {
    return 'TOPIC_INVALID'
  }
  return 'BROKER_UNAVAILABLE'
}

interface ErrorLike {
  readonly name: string
  readonly message: string
  readonly type?: unknown
  readonly cause?: unknown
}

function find<T>(error: unknown, pick: (error: ErrorLike) => T | undefined): T | undefined {
  for (let e = error, depth = 0; e instanceof Error && depth < 8; depth++) {
    const found = pick(e)
    if (found !== undefined) return found
    e = e.cause
  }
  return undefined
}
