import type { ProtocolEncoder, ProtocolRequest } from './kafkajs.ts'
import { Encoder } from './kafkajs.ts'
import { PayloadReader, writeStrings } from './payload.ts'

/**
 * Requests that kafkajs has only in versions that do not say what the caller may do: Metadata 8 (Kafka 2.3 and later), and
 * DescribeGroups 3 (2.3). Field by field as in the message definitions of Apache Kafka.
 */

/** What the principal may do with something, by the codes of AclOperation. */
export const operations = {
  read: 3,
  write: 4,
  describe: 8,
  clusterAction: 9,
} as const
export type Operation = keyof typeof operations

/** Null: the broker does not say. */
export type Rights = ReadonlySet<Operation> | null

export interface DescribedPartition {
  readonly partition: number
  /** Node id, -1 for none. */
  readonly leader: number
  readonly replicas: number
  readonly inSync: number
}

export interface DescribedTopic {
  readonly topic: string
  /** Protocol error code, 0 for none. */
  readonly errorCode: number
  readonly partitions: readonly DescribedPartition[]
  readonly rights: Rights
}

export interface DescribedCluster {
  readonly brokers: readonly {
    readonly nodeId: number
    readonly host: string
    readonly port: number
  }[]
  /** -1: none. */
  readonly controllerId: number
  readonly topics: readonly DescribedTopic[]
  readonly rights: Rights
}

export interface DescribedGroup {
  readonly groupId: string
  readonly errorCode: number
  /** `Stable`, `Empty`, `Dead` (nobody knows it), `PreparingRebalance`, `CompletingRebalance` */
  readonly state: string
  readonly members: readonly { readonly clientId: string; readonly host: string }[]
  readonly rights: Rights
}

export function describeClusterRequest(
  topics: readonly string[],
): ProtocolRequest<DescribedCluster> {
  const yes = 1
  return request(3, 8, 'Metadata', decodeCluster, () =>
    writeStrings(new Encoder(), topics).writeInt8(0).writeInt8(yes).writeInt8(yes),
  )
}

export function describeGroupsRequest(
  groupIds: readonly string[],
): ProtocolRequest<DescribedGroup[]> {
  return request(15, 3, 'DescribeGroups', decodeGroups, () =>
    writeStrings(new Encoder(), groupIds).writeInt8(1),
  )
}

export function request<T>(
  apiKey: number,
  apiVersion: number,
  apiName: string,
  decode: (payload: Buffer) => T,
  encode: () => ProtocolEncoder,
): ProtocolRequest<T> {
  return {
    request: { apiKey, apiVersion, apiName, encode: () => Promise.resolve(encode()) },
    response: {
      decode: (payload) => Promise.resolve(decode(payload)),
      parse: (decoded) => Promise.resolve(decoded),
    },
  }
}

function decodeCluster(payload: Buffer): DescribedCluster {
  const reader = new PayloadReader(payload)
  reader.int32()
  const brokers = reader.array(() => {
    const broker = { nodeId: reader.int32(), host: reader.string() ?? '', port: reader.int32() }
    reader.string()
    return broker
  })
  reader.string()
  const controllerId = reader.int32()
  const topics = reader.array(() => {
    const errorCode = reader.int16()
    const topic = reader.string() ?? ''
    reader.int8()
    const partitions = reader.array(() => readPartition(reader))
    return { topic, errorCode, partitions, rights: rightsOf(reader.int32()) }
  })
  return { brokers, controllerId, topics, rights: rightsOf(reader.int32()) }
}

function readPartition(reader: PayloadReader): DescribedPartition {
  reader.int16()
  const partition = reader.int32()
  const leader = reader.int32()
  reader.int32()
  const [replicas, inSync] = [0, 1].map(() => reader.array(() => reader.int32()).length)
  reader.array(() => reader.int32())
  return { partition, leader, replicas: replicas!, inSync: inSync! }
}

function decodeGroups(payload: Buffer): DescribedGroup[] {
  const reader = new PayloadReader(payload)
  reader.int32()
  return reader.array(() => {
    const errorCode = reader.int16()
    const groupId = reader.string() ?? ''
    const state = reader.string() ?? ''
    reader.string()
    reader.string()
    const members = reader.array(() => {
      reader.string()
      const member = { clientId: reader.string() ?? '', host: reader.string() ?? '' }
      reader.bytes()
      reader.bytes()
      return member
    })
    return { groupId, errorCode, state, members, rights: rightsOf(reader.int32()) }
  })
}

const notSaid = -0x80000000

function rightsOf(bits: number): Rights {
  if (bits === notSaid) return null
  const names = Object.keys(operations) as Operation[]
  return new Set(names.filter((name) => (bits & (1 << operations[name])) !== 0))
}
