import { configSchema } from '../../../src/config/schema.ts'
import { encodeExampleHeartbeat } from '../../../src/records/codec.ts'
import { topicNames } from '../../../src/records/topics.ts'
import type { ControlDocument, Report } from '../../../src/records/types.ts'
import type { ControlFacts } from '../../../src/runtime/doctor/control.ts'
import type { HostFacts } from '../../../src/runtime/doctor/host.ts'
import { transactionalIdsOf } from '../../../src/runtime/doctor/kafka.ts'
import type { ClusterFacts, KafkaFacts } from '../../../src/runtime/doctor/kafka.ts'
import { told } from '../../../src/runtime/doctor/told.ts'
import type { Told } from '../../../src/runtime/doctor/told.ts'
import { topicDefinitions } from '../../../src/runtime/kafka/topics.ts'
import { compileMapping } from '../../../src/streams/mapping.ts'
import type { SourceRecord } from '../../../src/streams/stage.ts'
import type { Context } from '../../../src/cli/doctor/check.ts'
import type { DiskFacts } from '../../../src/cli/doctor/disk.ts'
import type { RedisWithDocument } from '../../../src/cli/doctor/redis.ts'
import type { SchemaFacts } from '../../../src/cli/doctor/schemas.ts'

type Mutable<T> = unknown extends T
  ? T
  : T extends string | number | boolean | null | undefined | Buffer
    ? T
    : T extends (...parameters: never[]) => unknown
      ? T
      : T extends ReadonlyMap<infer K, infer V>
        ? Map<K, Mutable<V>>
        : T extends ReadonlySet<infer V>
          ? Set<V>
          : { -readonly [K in keyof T]: Mutable<T[K]> }
type Value<T> = T extends { readonly isTold: true; readonly value: infer V } ? V : never

/** The facts of a deployment where everything is as it should be, to be changed by a test. */
export interface Deployment {
  config: Context['config']
  host: Mutable<HostFacts>
  brokers: Mutable<KafkaFacts['brokers']>
  cluster: Mutable<ClusterFacts>
  control: Mutable<ControlFacts>
  schemas: Mutable<SchemaFacts>
  redis: Mutable<RedisWithDocument>
  disk: Mutable<DiskFacts>
}

export const nowMs = Date.UTC(2026, 0, 5, 12)

/** Of facts that are told. */
export function valueOf<T extends Told<unknown>>(fact: T): Value<T> {
  if (!fact.isTold) throw new Error(fact.why)
  return fact.value as Value<T>
}

const document: ControlDocument = {
  ...{ epoch: 7, live: 'g1', candidate: null, previous: 'g0', liveSinceMs: nowMs - 1_000 },
  ...{ kept: ['g0', 'g1'], states: { g0: 'retired', g1: 'live' } },
  ...{ cuts: { '2026-01-04': [5, 5, 5, 5] }, catalogueCuts: {} },
}

export function healthy(): Deployment {
  const config = configSchema.parse({
    sources: { web: { topic: 'web-clicks', record: 'click' } },
    generations: { first: 'g0' },
  })
  const versions = Object.fromEntries(
    [1, 9, 22, 24, 26, 28].map((key) => [key, { minVersion: 0, maxVersion: 17 }]),
  )
  return {
    config,
    host: {
      ...{ nodeVersion: '20.19.1', nodeNeeded: '>=20.19', openFilesMax: 65_536 },
      ...{ memoryBytes: 8e9, indexProblem: null },
      metricsPort: { holder: 'nobody', problem: null },
    },
    brokers: [
      { address: '127.0.0.1:9092', isAdvertised: false, versions: told(versions) },
      { address: 'kafka-2:9092', isAdvertised: true, versions: told(versions) },
    ],
    cluster: clusterOf(config),
    control: controlOf(),
    schemas: schemasOf(config),
    redis: redisOf(),
    disk: diskOf(),
  }
}

function clusterOf(config: Deployment['config']): Deployment['cluster'] {
  const definitions = [
    ...topicDefinitions(config),
    { topic: 'web-clicks', partitions: 1, config: {} },
  ]
  const names = topicNames('freshet')
  const bounds = definitions.flatMap(({ topic, partitions }) =>
    Array.from({ length: partitions }, (_, partition) => ({
      ...{ topic, partition, low: 0, stable: 10, high: 10 },
    })),
  )
  const all = () => new Set(['read', 'write', 'describe', 'clusterAction'] as const)
  return {
    brokers: [
      { nodeId: 1, host: '127.0.0.1', port: 9092 },
      { nodeId: 2, host: 'kafka-2', port: 9092 },
    ],
    controllerId: 1,
    rights: all(),
    topics: definitions.map(({ topic, partitions }) => ({
      ...{ topic, errorCode: 0, rights: all() },
      partitions: Array.from({ length: partitions }, (_, partition) => ({
        ...{ partition, leader: 1, replicas: 2, inSync: 2 },
      })),
    })),
    settings: told({
      'transaction.max.timeout.ms': '900000',
      'group.min.session.timeout.ms': '6000',
      'group.max.session.timeout.ms': '1800000',
    }),
    topicSettings: told(
      new Map(
        definitions.map(({ topic, config: settings }) => [
          topic,
          {
            ...{ 'cleanup.policy': 'delete', 'retention.ms': '604800000', 'retention.bytes': '-1' },
            ...{ 'min.insync.replicas': '1', 'segment.bytes': '1073741824' },
            ...settings,
          },
        ]),
      ),
    ),
    bounds: told(bounds),
    newest: told([stamped(nowMs - 1_000)]),
    readAtMs: nowMs,
    openMs: told(new Map<string, number>()),
    groups: told(
      ['ingest', 'joiner', 'learner', 'recall', 'compactor'].map((role) => ({
        ...{ groupId: `freshet.${role}`, errorCode: 0, state: 'Stable', rights: all() },
        members: [{ clientId: 'freshet', host: '/10.0.0.1' }],
      })),
    ),
    lags: told(
      bounds
        .filter(({ topic }) => topic === names.clicks)
        .map((each) => ({
          ...{ ...each, groupId: 'freshet.ingest', committed: 9, waitingSinceMs: nowMs - 200 },
        })),
    ),
    transactionalIds: told(new Map(transactionalIdsOf(config).map((id) => [id, true]))),
  }
}

/** A click as the broker of the default topic would have stamped it. */
function stamped(timestampMs: number): Mutable<SourceRecord> {
  return record('freshet.clicks.v1', click('b'), timestampMs)
}

export function click(itemId: string): Buffer {
  return Buffer.from(
    JSON.stringify({
      ...{ request_id: 'r', user_id: 'u', item_id: itemId, event_time: nowMs - 5_000 },
    }),
  )
}

export function record(
  topic: string,
  value: Buffer | null,
  timestampMs = nowMs - 1_000,
): Mutable<SourceRecord> {
  return { topic, partition: 0, offset: 9, timestampMs, key: null, value }
}

function schemasOf({ ingest }: Deployment['config']): Deployment['schemas'] {
  const mapping = compileMapping({
    ...{ record: 'click', format: 'auto', fields: {}, schema: undefined },
    ...{ futureSkewMs: ingest.futureSkewMs, recordBytesMax: ingest.recordBytesMax },
  })
  return {
    newest: told([
      stamped(nowMs - 1_000),
      record('freshet.examples.v1', encodeExampleHeartbeat(nowMs)),
    ]),
    mappings: new Map([
      ['freshet.clicks.v1', { name: 'clicks', mapping: told(mapping) }],
      ['web-clicks', { name: 'web', mapping: told(mapping) }],
    ]),
  }
}

function controlOf(): Deployment['control'] {
  const report = (role: string, kind: string, body: Report['body'] = {}) => ({
    ...{ role, kind, body, instance: '1', generation: 'g1', atMs: nowMs - 500 },
  })
  return {
    document: structuredClone(document) as Mutable<ControlDocument>,
    reports: [
      report('controller', 'controlling', { alerts: [], waitsFor: [] }),
      report('compactor', 'archiving'),
      report('indexer', 'indexed'),
      report('learner', 'learned'),
      report('recall', 'loaded'),
    ],
    snapshot: told({
      manifest: {
        ...{ kind: 'manifest', generation: 'g1', revision: 2, engine: 'exact', dim: 8 },
        ...{ items: 3, createdAtMs: nowMs, reference: null, overrideSequence: 0, recall: 1 },
        parts: [{ part: 'index', bytes: 20, chunks: 2, sha256: '00' }],
      },
      keys: ['g1/2/manifest', 'g1/2/index/0', 'g1/2/index/1'],
    }),
  }
}

function redisOf(): Deployment['redis'] {
  const info = {
    ...{ redis_version: '7.2.4', maxmemory_policy: 'noeviction', role: 'master' },
    ...{ rdb_last_bgsave_status: 'ok', aof_last_write_status: 'ok', cluster_enabled: '0' },
    ...{ used_memory: '100000000', maxmemory: '1000000000', total_system_memory: '8000000000' },
  }
  return {
    nodes: [{ address: '127.0.0.1:6379', info, clockAheadMs: 3 }],
    ...{ clusterState: null, pingMs: [0.2, 0.3, 0.9], scriptProblem: null, hasAllKeys: true },
    keys: new Map([
      ['g1', 500],
      ['g0', 500],
    ]),
    document: told(structuredClone(document) as Mutable<ControlDocument>),
  }
}

function diskOf(): Deployment['disk'] {
  const folder = (name: string) => ({
    ...{ folder: name, problem: null, freeBytes: 50e9, leftovers: [] },
  })
  const stored = (id: string) => ({
    ...{ id, bytes: 1e6, users: 1_000, items: 100, dim: 8, problems: [] },
  })
  return {
    folders: [folder('state'), folder('artifacts')],
    generations: told([stored('g0'), stored('g1')]),
    document: told(structuredClone(document) as Mutable<ControlDocument>),
    memoryBytes: told(8e9),
  }
}
