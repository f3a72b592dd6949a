import type { ClusterFacts, PartitionLag } from '../../runtime/doctor/kafka.ts'
import type { Operation, Rights } from '../../runtime/kafka/describe.ts'
import { protocol } from '../../runtime/kafka/errors.ts'
import { ifTold, ok, orOk, plural, problem, seconds, warning } from './check.ts'
import type { Check, Context, Finding } from './check.ts'
import { alterCommand, bootstrap } from './topics.ts'

const lagMaxMs = 60_000

export const groupChecks: readonly Check<ClusterFacts>[] = [
  { name: 'members', judge: judgeMembers },
  { name: 'lag', judge: judgeLag },
  {
    name: 'lost-records',
    judge: ({ lags }, context) =>
      ifTold(lags, (all) =>
        orOk(
          all
            .filter(({ committed, low }) => committed !== null && committed < low)
            .map(({ groupId, topic, partition, committed, low }) =>
              problem(
                `${groupId}: ${low - committed!} records of ${topic}/${partition} were deleted before it read them`,
                'retention was shorter than the time the role was away; they are lost',
                alterCommand(context, topic, 'retention.ms=<longer than the longest outage>'),
              ),
            ),
          'nothing was deleted unread',
        ),
      ),
  },
  {
    name: 'open-transactions',
    judge: ({ openMs }, { config }) =>
      ifTold(openMs, (open) =>
        orOk(
          [...open].map(([partition, heldMs]) => {
            const what = `${partition}: a transaction has been open for at least ${seconds(heldMs)}`
            const why = 'readers of committed records wait behind it'
            const server = bootstrap(config)
            const find = `kafka-transactions.sh ${server} find-hanging --broker-id <leader>, then its abort command`
            return heldMs > config.kafka.transactionTimeoutMs
              ? problem(what, `${why}; it should have timed out, so it hangs`, find)
              : warning(what, why, `run this again; if it stays: ${find}`)
          }),
          'no transaction is left open',
        ),
      ),
  },
]

export const rightsChecks: readonly Check<ClusterFacts>[] = [
  { name: 'topic-rights', judge: judgeTopicRights },
  {
    name: 'group-rights',
    judge: ({ groups }, context) =>
      ifTold(groups, (all) =>
        orOk(
          all.flatMap(({ groupId, errorCode, rights }) => {
            const isDenied = errorCode === protocol.groupDenied
            if (!isDenied && rights === null) return [notSaid(groupId)]
            if (!isDenied && rights?.has('read') === true) return []
            const why = 'the role cannot join its group or commit'
            const mend = aclCommand(context, ['Read'], '--group', groupId)
            return [problem(`${groupId}: may not be read`, why, mend)]
          }),
          'every group may be joined',
        ),
      ),
  },
  { name: 'transactional-ids', judge: judgeTransactionalIds },
]

function judgeMembers({ groups }: ClusterFacts, { options }: Context): readonly Finding[] {
  return ifTold(groups, (all) => {
    return all
      .filter(({ errorCode }) => errorCode === 0)
      .map(({ groupId, state, members }) => {
        const role = roleOf(groupId)
        if (members.length > 0) {
          return ok(`${groupId}: ${plural(members.length, 'member')}, ${state.toLowerCase()}`)
        }
        const why = `no ${role} runs, or it cannot join`
        return warning(`${groupId} has no member`, why, `npx freshet ${role}${options}`)
      })
  })
}

function judgeLag({ lags }: ClusterFacts, { nowMs, options }: Context): readonly Finding[] {
  return ifTold(lags, (all) => {
    const byRead = new Map<string, PartitionLag[]>()
    for (const lag of all) {
      const key = `${lag.groupId} ${lag.topic}`
      byRead.set(key, [...(byRead.get(key) ?? []), lag])
    }
    return [...byRead.values()].map((partitions) => {
      const { groupId, topic } = partitions[0]!
      const records = partitions.reduce(
        (sum, { committed, low, high }) => sum + high - Math.max(low, committed ?? low),
        0,
      )
      const since = partitions.flatMap(({ waitingSinceMs }) => waitingSinceMs ?? [])
      const behindMs = since.length === 0 ? 0 : nowMs - Math.min(...since)
      const what = `${groupId} is ${plural(records, 'record')}, ${seconds(Math.max(0, behindMs))} behind in ${topic}`
      if (behindMs <= lagMaxMs) return ok(what)
      const why = 'what is clicked now is learned so much later'
      return warning(
        what,
        why,
        `npx freshet ${roleOf(groupId)}${options} once more, up to a process for each partition`,
      )
    })
  })
}

function judgeTopicRights(facts: ClusterFacts, context: Context): readonly Finding[] {
  const sources = new Set(Object.values(context.config.sources).map(({ topic }) => topic))
  return orOk(
    facts.topics.flatMap(({ topic, errorCode, rights }) => {
      const needed: Operation[] = sources.has(topic) ? ['read'] : ['read', 'write']
      if (errorCode !== 0 && errorCode !== protocol.topicDenied) return []
      const missing = errorCode === protocol.topicDenied ? needed : missingOf(rights, needed)
      if (missing === null) return [notSaid(topic)]
      if (missing.length === 0) return []
      const what = `${topic}: may not be ${missing.map((each) => (each === 'read' ? 'read' : 'written')).join(' or ')}`
      const names = ['Describe', ...missing.map((each) => (each === 'read' ? 'Read' : 'Write'))]
      const mend = aclCommand(context, names, '--topic', topic)
      return [problem(what, 'the roles that use it fail', mend)]
    }),
    'every topic may be read and written',
  )
}

function judgeTransactionalIds(facts: ClusterFacts, context: Context): readonly Finding[] {
  return ifTold(facts.transactionalIds, (seen) => {
    const denied = [...seen].filter(([, maySee]) => !maySee).map(([id]) => id)
    if (denied.length > 0) {
      const prefix = `${context.config.kafka.topicPrefix}-`
      const mend = `${aclCommand(context, ['Describe', 'Write'], '--transactional-id', prefix)} --resource-pattern-type prefixed`
      const why = 'nothing is written exactly once: joiner, learner and controller do not start'
      return [problem(`transactional ids may not be used: ${denied.join(', ')}`, why, mend)]
    }
    // Without an authorizer, or for a super user, everything is allowed, this of the cluster too.
    if (facts.rights?.has('clusterAction') === true) return [ok('transactional ids may be used')]
    return [
      {
        status: 'unknown',
        what: 'transactional ids may be looked up; whether they may be written cannot be told without writing',
      },
    ]
  })
}

/** Null: not said. */
function missingOf(rights: Rights, needed: readonly Operation[]): Operation[] | null {
  return rights === null ? null : needed.filter((each) => !rights.has(each))
}

function notSaid(thing: string): Finding {
  return { status: 'unknown', what: `${thing}: the broker does not say what may be done` }
}

function aclCommand(
  { config }: Context,
  operations: readonly string[],
  resource: '--topic' | '--group' | '--transactional-id',
  name: string,
): string {
  const { username } = config.kafka.sasl
  const allowed = operations.map((each) => ` --operation ${each}`).join('')
  return `kafka-acls.sh ${bootstrap(config)} --add --allow-principal User:${username === '' ? '<principal>' : username}${allowed} ${resource} ${name}`
}

/** As the command line names it. */
function roleOf(groupId: string): string {
  const name = groupId.slice(groupId.lastIndexOf('.') + 1)
  return name === 'recall' ? 'pod' : name
}
