import { createRequire } from 'node:module'
import type { Socket } from 'node:net'

/**
 * The parts of kafkajs that its public API hides: connections, metadata and the wire protocol. freshet needs reading
 * outside groups, an awaited assignment, exact positions behind control records, and control over what happens to a
 * transaction that fails; the public classes offer none of them. kafkajs 2.2.4 is its last release, so these paths do
 * not move; package.json pins it.
 */
const load = createRequire(import.meta.url)

export interface ProtocolRequest<T> {
  readonly request: {
    readonly apiKey: number
    readonly apiVersion: number
    readonly apiName: string
    encode(): Promise<ProtocolEncoder>
  }
  readonly response: { decode(payload: Buffer): Promise<T>; parse(decoded: T): Promise<T> }
  readonly requestTimeout?: number
  readonly logResponseError?: boolean
}

export interface ProtocolEncoder {
  readonly buffer: Buffer
  writeInt8(value: number): this
  writeInt16(value: number): this
  writeInt32(value: number): this
  writeInt64(value: number | string): this
  writeString(value: string | null): this
  writeBuffer(value: Buffer): this
}

export interface GroupMetadata {
  readonly generationId: number
  readonly leaderId: string
  readonly memberId: string
  readonly members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[]
}

interface OffsetCommitTopic {
  readonly topic: string
  readonly partitions: readonly {
    readonly partition: number
    readonly offset: string
    readonly metadata: string | null
  }[]
}

interface TransactionOwner {
  readonly transactionalId: string
  readonly producerId: string
  readonly producerEpoch: number
}

export interface Broker {
  readonly nodeId: number
  readonly connectionPool: { send<T>(request: ProtocolRequest<T>): Promise<T> }
  disconnect(): Promise<void>
  metadata(topics: readonly string[]): Promise<unknown>
  findGroupCoordinator(request: { groupId: string; coordinatorType: 0 | 1 }): Promise<unknown>
  joinGroup(request: {
    groupId: string
    sessionTimeout: number
    rebalanceTimeout: number
    memberId: string
    groupProtocols: readonly { name: string; metadata: Buffer }[]
  }): Promise<GroupMetadata>
  syncGroup(request: {
    groupId: string
    generationId: number
    memberId: string
    groupAssignment: readonly { memberId: string; memberAssignment: Buffer }[]
  }): Promise<{ memberAssignment: Buffer }>
  heartbeat(request: {
    groupId: string
    groupGenerationId: number
    memberId: string
  }): Promise<unknown>
  leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown>
  offsetCommit(request: {
    groupId: string
    groupGenerationId: number
    memberId: string
    topics: readonly OffsetCommitTopic[]
  }): Promise<unknown>
  listOffsets(request: {
    isolationLevel: 0 | 1
    topics: readonly {
      topic: string
      partitions: readonly { partition: number; timestamp: number }[]
    }[]
  }): Promise<{
    responses: readonly {
      topic: string
      partitions: readonly { partition: number; offset: string }[]
    }[]
  }>
  createTopics(request: {
    topics: readonly {
      topic: string
      numPartitions: number
      replicationFactor: number
      configEntries: readonly { name: string; value: string }[]
    }[]
    timeout: number
  }): Promise<unknown>
  deleteTopics(request: { topics: readonly string[]; timeout: number }): Promise<unknown>
  createPartitions(request: {
    topicPartitions: readonly { topic: string; count: number }[]
    timeout: number
  }): Promise<unknown>
  describeConfigs(request: { resources: readonly { type: 2 | 4; name: string }[] }): Promise<{
    resources: readonly {
      resourceName: string
      configEntries: readonly { configName: string; configValue: string | null }[]
    }[]
  }>
  initProducerId(request: {
    transactionalId: string | undefined
    transactionTimeout: number
  }): Promise<{ producerId: string; producerEpoch: number }>
  addPartitionsToTxn(
    request: TransactionOwner & {
      topics: readonly { topic: string; partitions: readonly number[] }[]
    },
  ): Promise<unknown>
  addOffsetsToTxn(request: TransactionOwner & { groupId: string }): Promise<unknown>
  txnOffsetCommit(
    request: TransactionOwner & { groupId: string; topics: readonly OffsetCommitTopic[] },
  ): Promise<unknown>
  endTxn(request: TransactionOwner & { transactionResult: boolean }): Promise<unknown>
}

export interface PartitionMetadata {
  readonly partitionId: number
  readonly leader: number
}

export interface KafkajsCluster {
  readonly targetTopics: Set<string>
  readonly brokerPool: {
    /** By API key, of the broker that was asked first. */
    readonly versions: Readonly<
      Record<number, { readonly minVersion: number; readonly maxVersion: number }>
    > | null
    findConnectedBroker(): Promise<Broker>
  }
  connect(): Promise<void>
  refreshMetadata(): Promise<void>
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>
  findTopicPartitionMetadata(topic: string): readonly PartitionMetadata[]
  findBroker(node: { nodeId: number }): Promise<Broker>
  findControllerBroker(): Promise<Broker>
  findGroupCoordinator(options: { groupId: string; coordinatorType?: 0 | 1 }): Promise<Broker>
  removeBroker(destination: { host: string; port: number }): void
}

interface LogEntry {
  readonly namespace: string
  readonly log: { readonly message: string } & Readonly<Record<string, unknown>>
}

export interface ClusterOptions {
  readonly logger: unknown
  readonly brokers: readonly string[]
  readonly ssl: object | undefined
  readonly sasl: object | undefined
  readonly clientId: string
  readonly connectionTimeout: number
  readonly requestTimeout: number
  readonly enforceRequestTimeout: boolean
  readonly metadataMaxAge: number
  readonly allowAutoTopicCreation: boolean
  readonly maxInFlightRequests: null
  readonly isolationLevel: 0 | 1
  readonly retry: { readonly retries: number; readonly initialRetryTime: number }
  readonly socketFactory: (options: SocketOptions) => Socket
}

export interface SocketOptions {
  readonly host: string
  readonly port: number
  readonly ssl: object | undefined
  readonly onConnect: () => void
}

interface Loggers {
  readonly LEVELS: { readonly WARN: number }
  createLogger(options: { level: number; logCreator: () => (entry: LogEntry) => void }): unknown
}

interface ErrorModule {
  createErrorFromCode(code: number): Error & { readonly type: string }
}

interface AssignerProtocol {
  readonly MemberMetadata: {
    encode(value: { version: number; topics: readonly string[]; userData: Buffer }): Buffer
    decode(buffer: Buffer): { topics: readonly string[] }
  }
  readonly MemberAssignment: {
    encode(value: {
      version: number
      assignment: Readonly<Record<string, readonly number[]>>
      userData: Buffer
    }): Buffer
    decode(buffer: Buffer): { assignment: Readonly<Record<string, readonly number[]>> } | null
  }
}

export const Cluster = load('kafkajs/src/cluster') as new (
  options: ClusterOptions,
) => KafkajsCluster
export const Encoder = load('kafkajs/src/protocol/encoder') as new (
  size?: number,
) => ProtocolEncoder
export const crc32c = load('kafkajs/src/protocol/recordBatch/crc32C') as (bytes: Buffer) => number
export const { createErrorFromCode } = load('kafkajs/src/protocol/error') as ErrorModule
export const { MemberMetadata, MemberAssignment } = load(
  'kafkajs/src/consumer/assignerProtocol',
) as AssignerProtocol
export const defaultSocket = (
  load('kafkajs/src/network/socketFactory') as () => (options: SocketOptions) => Socket
)()
const loggers = load('kafkajs/src/loggers') as Loggers

/** kafkajs repeats in its log what it throws; what matters is logged by the callers here. */
export function quietLogger(write: (fields: object, message: string) => void): unknown {
  return loggers.createLogger({
    level: loggers.LEVELS.WARN,
    logCreator: () => (entry) => {
      const { message, ...fields } = entry.log
      write({ ...fields, namespace: entry.namespace }, message)
    },
  })
}

interface KafkajsConnection {
  connect(): Promise<boolean>
  connecting?: Promise<boolean> | null
}

/** Two callers that find a connection closed would both open a socket, and the first socket would be lost. */
function connectOnce(connection: { readonly prototype: KafkajsConnection }): void {
  const { connect } = connection.prototype
  connection.prototype.connect = function (this: KafkajsConnection) {
    this.connecting ??= connect.call(this).finally(() => (this.connecting = null))
    return this.connecting
  }
}

connectOnce(load('kafkajs/src/network/connection') as { readonly prototype: KafkajsConnection })
