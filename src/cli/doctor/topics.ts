import type { ClusterFacts } from '../../runtime/doctor/kafka.ts'
import type { DescribedPartition, DescribedTopic } from '../../runtime/kafka/describe.ts'
import type { Settings } from '../../runtime/kafka/examine.ts'
import { isMet, topicNeeds } from '../../runtime/kafka/topics.ts'
import type { SettingNeed } from '../../runtime/kafka/topics.ts'
import { ifTold, ok, orOk, plural, problem, untoldFinding, warning } from './check.ts'
import type { Check, Context, Finding } from './check.ts'

const unknownTopic = 3

export const topicChecks: readonly Check<ClusterFacts>[] = [
  {
    name: 'topics-exist',
    judge: (facts, context) => {
      const own = ownTopics(facts, context)
      const missing = own.filter(({ errorCode }) => errorCode === unknownTopic)
      if (missing.length === 0) {
        const seen = own.filter(({ errorCode }) => errorCode === 0).length
        return seen === own.length
          ? [ok(`${plural(seen, 'topic')} there`)]
          : [untoldFinding(`only ${seen} of ${own.length} topics are shown to this principal`)]
      }
      const mend = topicsCommand(context)
      if (missing.length === own.length) {
        const why = 'nothing has run here yet; a role that starts makes them, if it may'
        return [warning(`no topic of ${context.config.kafka.topicPrefix} is there`, why, mend)]
      }
      const names = missing.map(({ topic }) => topic).join(', ')
      return [problem(`missing: ${names}`, 'what was in there is lost to the roles', mend)]
    },
  },
  { name: 'partitions', judge: judgePartitions },
  settingCheck(
    'cleanup-policy',
    ['cleanup.policy'],
    'what has to stay is deleted, or what passes piles up',
  ),
  settingCheck(
    'retention',
    ['retention.ms'],
    'what is read again after a crash, or by a new generation, is gone by then',
  ),
  settingCheck(
    'message-size',
    ['max.message.bytes'],
    'larger records are refused: snapshots do not reach the pods, dead letters are lost',
  ),
  settingCheck(
    'timestamps',
    ['message.timestamp.type', 'message.timestamp.before.max.ms', 'message.timestamp.after.max.ms'],
    'arrival is the record timestamp: every delay is measured wrong, or old events are refused',
  ),
  settingCheck(
    'compaction',
    ['segment.bytes', 'min.compaction.lag.ms'],
    'a cut log cannot be replayed, or every pod reads what is long replaced',
  ),
  {
    name: 'retention-bytes',
    judge: ({ topicSettings }, context) =>
      ifTold(topicSettings, (settings) =>
        orOk(
          topicNeeds(context.config).flatMap(({ topic }) => {
            const bytes = settings.get(topic)?.['retention.bytes'] ?? '-1'
            if (bytes === '-1' || settings.get(topic)?.['cleanup.policy'] === 'compact') return []
            const why = 'a busy hour deletes records sooner than retention.ms says'
            const mend = alterCommand(context, topic, 'retention.bytes=-1')
            return [warning(`${topic}: retention.bytes is ${bytes}`, why, mend)]
          }),
          'no topic is cut short by size',
        ),
      ),
  },
  { name: 'min-insync', judge: judgeInSync },
  { name: 'replicas', judge: judgeReplicas },
  { name: 'sources', judge: judgeSources },
]

/** `freshet topics` for the same deployment. */
export function topicsCommand({ options }: Context, topic?: string): string {
  return `npx freshet topics${topic === undefined ? '' : ` --topic ${topic}`}${options}`
}

/** For what freshet does not decide itself. */
export function alterCommand({ config }: Context, topic: string, setting: string): string {
  return `kafka-configs.sh ${bootstrap(config)} --alter --entity-type topics --entity-name ${topic} --add-config ${setting}`
}

export function bootstrap({ kafka }: Context['config']): string {
  const isSecured = kafka.tls.enabled || kafka.sasl.mechanism !== 'none'
  const more = isSecured ? ' --command-config client.properties' : ''
  return `--bootstrap-server ${kafka.brokers.join(',')}${more}`
}

/** In the order of their definitions, also those that are missing. */
function ownTopics({ topics }: ClusterFacts, { topics: names }: Context): DescribedTopic[] {
  const all = Object.values(names) as string[]
  return all.flatMap((name) => topics.find(({ topic }) => topic === name) ?? [])
}

function settingCheck(name: string, settings: readonly string[], why: string): Check<ClusterFacts> {
  return {
    name,
    judge: ({ topicSettings }, context) =>
      ifTold(topicSettings, (found) => {
        if (found.size === 0) return [untoldFinding('there is no topic')]
        const wrong = topicNeeds(context.config).flatMap(({ topic, needs }) => {
          const own = found.get(topic)
          if (own === undefined) return []
          return needs
            .filter((need) => settings.includes(need.name) && !isMet(need, own[need.name]))
            .map((need) => settingFinding(context, topic, need, own, why))
        })
        return orOk(wrong, `${settings.join(', ')} as needed`)
      }),
  }
}

const words = { equal: '', 'at-least': 'at least ', 'at-most': 'at most ' } as const

function settingFinding(
  context: Context,
  topic: string,
  need: SettingNeed,
  found: Settings,
  why: string,
): Finding {
  const what = `${topic}: ${need.name} is ${found[need.name]}, needed ${words[need.compare]}${need.value}`
  return problem(what, why, topicsCommand(context, topic))
}

function judgePartitions(facts: ClusterFacts, context: Context): readonly Finding[] {
  const { config } = context
  const needs = new Map(topicNeeds(config).map((each) => [each.topic, each.partitions]))
  const own = ownTopics(facts, context).filter(({ errorCode }) => errorCode === 0)
  const wrong = own.filter(({ topic, partitions }) => needs.get(topic) !== partitions.length)
  const keyed = own.filter(({ topic }) => needs.get(topic) === config.kafka.partitions)
  const counts = new Set(keyed.map(({ partitions }) => partitions.length))
  return orOk(
    wrong.map(({ topic, partitions }) => {
      const found = partitions.length
      const needed = needs.get(topic)!
      const what = `${topic} has ${plural(found, 'partition')}, needed ${needed}`
      const why =
        'a user has one partition in every topic: roles refuse to start with TOPIC_INVALID'
      if (counts.size === 1 && keyed.length > 1 && needed === config.kafka.partitions) {
        return problem(what, why, `kafka.partitions: ${found}`)
      }
      const isEmpty =
        facts.bounds.isTold &&
        facts.bounds.value.every((each) => each.topic !== topic || each.high === 0)
      if (!isEmpty) {
        const remedy = 'users of a topic with records cannot be moved between partitions'
        return problem(what, why, `kafka.topicPrefix: another one; ${remedy}`)
      }
      const drop = `kafka-topics.sh ${bootstrap(config)} --delete --topic ${topic} && `
      return problem(what, why, `${found > needed ? drop : ''}${topicsCommand(context, topic)}`)
    }),
    'partitions as configured',
  )
}

function judgeInSync(facts: ClusterFacts, context: Context): readonly Finding[] {
  return ifTold(facts.topicSettings, (settings) =>
    orOk(
      ownTopics(facts, context).flatMap(({ topic, partitions }) => {
        const least = Number(settings.get(topic)?.['min.insync.replicas'] ?? 1)
        const replicas = partitions[0]?.replicas ?? 0
        if (replicas === 0) return []
        const inSync = Math.min(...partitions.map((each) => each.inSync))
        const set = (count: number) => alterCommand(context, topic, `min.insync.replicas=${count}`)
        if (least > replicas) {
          const what = `${topic}: min.insync.replicas is ${least}, there are ${plural(replicas, 'replica')}`
          const mend =
            replicas < context.config.kafka.replicationFactor
              ? reassignCommand(facts, context, topic, partitions)
              : set(Math.max(1, replicas - 1))
          return [problem(what, 'every write is refused', mend)]
        }
        if (least > inSync) {
          const what = `${topic}: min.insync.replicas is ${least}, ${inSync} of ${replicas} are in sync`
          const mend =
            least === replicas && inSync === replicas - 1
              ? set(inSync)
              : describeCommand(context, topic)
          return [problem(what, 'every write is refused', mend)]
        }
        if (least === replicas && replicas > 1) {
          const what = `${topic}: min.insync.replicas is ${least} of ${replicas}`
          return [warning(what, 'one broker that restarts stops every write', set(replicas - 1))]
        }
        if (least === 1 && replicas > 2) {
          const what = `${topic}: min.insync.replicas is 1 of ${replicas}`
          return [warning(what, 'a write is acknowledged that only one broker has', set(2))]
        }
        return []
      }),
      'min.insync.replicas fits the replicas',
    ),
  )
}

function judgeReplicas(facts: ClusterFacts, context: Context): readonly Finding[] {
  const wanted = context.config.kafka.replicationFactor
  return orOk(
    ownTopics(facts, context).flatMap(({ topic, partitions }) => {
      const leaderless = partitions.filter(({ leader }) => leader < 0).length
      const behind = partitions.filter(({ replicas, inSync }) => inSync < replicas).length
      const replicas = Math.min(...partitions.map((each) => each.replicas))
      const describe = describeCommand(context, topic)
      if (leaderless > 0) {
        const what = `${topic}: ${plural(leaderless, 'partition')} without a leader`
        return [problem(what, 'nothing can be read or written there', describe)]
      }
      if (behind > 0) {
        const what = `${topic}: ${plural(behind, 'partition')} with replicas behind`
        return [warning(what, 'a further broker that fails may lose records', describe)]
      }
      if (partitions.length > 0 && replicas < wanted) {
        const what = `${topic} has ${plural(replicas, 'replica')}, configured are ${wanted}`
        const mend = reassignCommand(facts, context, topic, partitions)
        return [warning(what, 'a broker that fails takes it away', mend)]
      }
      return []
    }),
    'every replica is there and in sync',
  )
}

function describeCommand({ config }: Context, topic: string): string {
  return `kafka-topics.sh ${bootstrap(config)} --describe --topic ${topic} names the brokers: start them`
}

/** As many replicas as configured, each partition on its leader and on others by turns. */
function reassignCommand(
  { brokers }: ClusterFacts,
  { config }: Context,
  topic: string,
  partitions: readonly DescribedPartition[],
): string {
  const { replicationFactor } = config.kafka
  if (brokers.length < replicationFactor) {
    return `kafka.replicationFactor: ${brokers.length}, or start more brokers`
  }
  const plan = partitions.map(({ partition, leader }) => {
    const others = brokers.map(({ nodeId }) => nodeId).filter((nodeId) => nodeId !== leader)
    const from = partition % others.length
    const inTurn = [leader, ...others.slice(from), ...others.slice(0, from)]
    return { topic, partition, replicas: inTurn.slice(0, replicationFactor) }
  })
  const file = `${topic}.json`
  const json = JSON.stringify({ version: 1, partitions: plan })
  return `echo '${json}' > ${file} && kafka-reassign-partitions.sh ${bootstrap(config)} --reassignment-json-file ${file} --execute`
}

function judgeSources(facts: ClusterFacts, context: Context): readonly Finding[] {
  const sources = Object.entries(context.config.sources)
  const own = [context.topics.impressions, context.topics.clicks].map((topic) => [topic, topic])
  const all = [...own, ...sources.map(([name, { topic }]) => [`sources.${name}`, topic])]
  return all.flatMap(([name, topic]) => {
    const found = facts.topics.find((each) => each.topic === topic)
    if (found === undefined || found.errorCode !== 0) {
      if (name === topic) return []
      const what = `${name}: topic ${topic} cannot be read (${found?.errorCode === unknownTopic ? 'it is missing' : `error ${found?.errorCode}`})`
      return [problem(what, 'ingest does not start', `${name}.topic: one that exists`)]
    }
    if (!facts.bounds.isTold) return [untoldFinding(facts.bounds.why)]
    const ofTopic = facts.bounds.value.filter((each) => each.topic === topic)
    const records = ofTopic.reduce((sum, { low, high }) => sum + high - low, 0)
    return records > 0
      ? [ok(`${topic} has ${plural(records, 'record')}`)]
      : [
          warning(
            `${topic} is empty`,
            'without it nothing is learned',
            'send events to it: README.md, "Send your own events"; or map a topic of your own in sources',
          ),
        ]
  })
}
