import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../../config/schema.ts'
import { groupName, topicNames } from '../../records/topics.ts'
import type { SourceRecord } from '../../streams/stage.ts'
import type { DescribedCluster, DescribedGroup } from '../kafka/describe.ts'
import { KafkaExaminer, reachBroker } from '../kafka/examine.ts'
import type { ApiVersions, PartitionBounds, Settings } from '../kafka/examine.ts'
import { topicDefinitions } from '../kafka/topics.ts'
import type { Logger } from '../ports.ts'
import { partitionKey } from '../ports.ts'
import { told, untold, within, type Told } from './told.ts'

/** One address: of the configuration, or one that the cluster advertises. */
export interface BrokerFacts {
  readonly address: string
  readonly isAdvertised: boolean
  readonly versions: Told<ApiVersions>
}

export interface ClusterFacts extends DescribedCluster {
  /** Of one broker. */
  readonly settings: Told<Settings>
  /** By topic; of those that exist. */
  readonly topicSettings: Told<ReadonlyMap<string, Settings>>
  readonly bounds: Told<readonly PartitionBounds[]>
  /** The last records of each partition that are committed. */
  readonly newest: Told<readonly SourceRecord[]>
  /** Time here, after they were read. */
  readonly readAtMs: number
  /** How long the transactions that were open in a partition have been open at least; by `partitionKey`. */
  readonly openMs: Told<ReadonlyMap<string, number>>
  readonly groups: Told<readonly DescribedGroup[]>
  readonly lags: Told<readonly PartitionLag[]>
  /** By transactional id: whether it may be looked up. */
  readonly transactionalIds: Told<ReadonlyMap<string, boolean>>
}

/** How far a group has come in a partition that it commits. */
export interface PartitionLag extends PartitionBounds {
  readonly groupId: string
  /** Null: nothing committed. */
  readonly committed: number | null
  /** Record timestamp of the first record that is not committed; null: there is none. */
  readonly waitingSinceMs: number | null
}

export interface KafkaFacts {
  readonly brokers: readonly BrokerFacts[]
  readonly cluster: Told<ClusterFacts>
}

const reachMs = 5_000
const answerMs = 10_000
const newestRecords = 8
const lookMs = 500
/** Brokers look for transactions to abort that often: transaction.abort.timed.out.transaction.cleanup.interval.ms. */
const abortLooksMs = 10_000

/** Everything that Kafka says about a deployment. Without a broker nothing more is asked. */
export async function gatherKafka(config: Config, log: Logger): Promise<KafkaFacts> {
  const configured = await reachAll(config.kafka, config.kafka.brokers, false, log)
  const answering = configured.filter(({ versions }) => versions.isTold)
  if (answering.length === 0) return { brokers: configured, cluster: untold('no broker answers') }
  const brokers = answering.map(({ address }) => address)
  const examiner = new KafkaExaminer({ ...config.kafka, brokers }, log)
  try {
    const described = await within(answerMs, async () => {
      await examiner.open()
      return examiner.cluster(topicsOf(config))
    })
    if (!described.isTold) return { brokers: configured, cluster: described }
    const others = described.value.brokers
      .map(({ host, port }) => `${host}:${port}`)
      .filter((address) => !config.kafka.brokers.includes(address))
    const advertised = await reachAll(config.kafka, others, true, log)
    const cluster = told(await detailsOf(described.value, config, examiner))
    return { brokers: [...configured, ...advertised], cluster }
  } finally {
    examiner.close()
  }
}

export function transactionalIdsOf({ kafka }: Config): string[] {
  const joiners = Array.from({ length: kafka.partitions }, (_, i) => `joiner-${i}`)
  return ['controller', 'compactor', 'indexer', 'learner-0', ...joiners].map(
    (role) => `${kafka.topicPrefix}-${role}`,
  )
}

/** freshet's own, and the sources of the configuration. */
function topicsOf(config: Config): string[] {
  const sources = Object.values(config.sources).map(({ topic }) => topic)
  return [...new Set([...topicDefinitions(config).map(({ topic }) => topic), ...sources])]
}

function reachAll(
  config: Config['kafka'],
  addresses: readonly string[],
  isAdvertised: boolean,
  log: Logger,
): Promise<BrokerFacts[]> {
  return Promise.all(
    addresses.map(async (address) => ({
      ...{ address, isAdvertised },
      versions: await within(reachMs, () => reachBroker(config, address, log)),
    })),
  )
}

async function detailsOf(
  described: DescribedCluster,
  config: Config,
  examiner: KafkaExaminer,
): Promise<ClusterFacts> {
  const existing = described.topics.filter(({ errorCode }) => errorCode === 0)
  const led = existing.filter(({ partitions }) => partitions.every(({ leader }) => leader >= 0))
  const topics = led.map(({ topic }) => topic)
  const names = existing.map(({ topic }) => topic)
  const groupIds = ['ingest', 'joiner', 'learner', 'recall', 'compactor'].map((role) =>
    groupName(config.kafka.topicPrefix, role),
  )
  const bounds = await within(answerMs, () => examiner.bounds(topics))
  const of = <T>(
    find: (bounds: readonly PartitionBounds[]) => Promise<T>,
    limitMs = answerMs,
  ): Promise<Told<T>> | Told<T> =>
    bounds.isTold ? within(limitMs, () => find(bounds.value)) : bounds
  const node = described.brokers[0]?.nodeId ?? -1
  const openMs = config.kafka.transactionTimeoutMs + abortLooksMs + lookMs * 4
  const [settings, topicSettings, groups, transactionalIds, newest, lags, open] = await Promise.all(
    [
      within(answerMs, () => examiner.brokerSettings(node)),
      within(answerMs, () => examiner.topicSettings(names)),
      within(answerMs, () => examiner.groups(groupIds)),
      within(answerMs, () => seenIds(examiner, transactionalIdsOf(config))),
      of((found) => newestOf(examiner, found)),
      of((found) => lagsOf(examiner, config, found)),
      of((found) => openTransactions(examiner, found, openMs), openMs + answerMs),
    ],
  )
  const facts = { ...described, settings, topicSettings, bounds, newest, openMs: open }
  return { ...facts, groups, lags, transactionalIds, readAtMs: Date.now() }
}

async function seenIds(
  examiner: KafkaExaminer,
  ids: readonly string[],
): Promise<ReadonlyMap<string, boolean>> {
  const seen = new Map<string, boolean>()
  for (const id of ids) seen.set(id, await examiner.maySeeTransactionalId(id))
  return seen
}

async function newestOf(
  examiner: KafkaExaminer,
  bounds: readonly PartitionBounds[],
): Promise<SourceRecord[]> {
  const read = bounds.map((each) =>
    examiner.read(each, Math.max(each.low, each.stable - newestRecords), each.stable),
  )
  return (await Promise.all(read)).flat()
}

async function lagsOf(
  examiner: KafkaExaminer,
  config: Config,
  bounds: readonly PartitionBounds[],
): Promise<PartitionLag[]> {
  const names = topicNames(config.kafka.topicPrefix)
  const sources = Object.values(config.sources).map(({ topic }) => topic)
  const read = [
    ...[names.impressions, names.clicks, ...sources].map((topic) => ['ingest', topic] as const),
    ['joiner', names.events] as const,
  ]
  const lags = read.map(async ([role, topic]) => {
    const ofTopic = bounds.filter((each) => each.topic === topic)
    if (ofTopic.length === 0) return []
    const groupId = groupName(config.kafka.topicPrefix, role)
    const committed = await examiner.committed(groupId, topic)
    return Promise.all(
      ofTopic.map(async (each) => {
        const offset = committed.get(each.partition)?.offset ?? null
        const from = Math.max(each.low, offset ?? each.low)
        const to = Math.min(from + newestRecords, each.stable)
        const first = from < to ? (await examiner.read(each, from, to))[0] : undefined
        const waitingSinceMs = first?.timestampMs ?? null
        return { ...each, groupId, committed: offset, waitingSinceMs }
      }),
    )
  })
  return (await Promise.all(lags)).flat()
}

/** Looks again until every transaction that was open has ended, or has been open for longer than any may. */
async function openTransactions(
  examiner: KafkaExaminer,
  bounds: readonly PartitionBounds[],
  limitMs: number,
): Promise<ReadonlyMap<string, number>> {
  const startedMs = performance.now()
  let open = bounds.filter(({ stable, high }) => stable < high)
  const heldMs = () => performance.now() - startedMs
  while (open.length > 0 && heldMs() < limitMs) {
    await sleep(lookMs)
    const topics = [...new Set(open.map(({ topic }) => topic))]
    const now = new Map((await examiner.bounds(topics)).map((each) => [partitionKey(each), each]))
    open = open.filter((each) => now.get(partitionKey(each))?.stable === each.stable)
  }
  return new Map(open.map((each) => [partitionKey(each), heldMs()]))
}
