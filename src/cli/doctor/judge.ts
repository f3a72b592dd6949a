import { told, untold } from '../../runtime/doctor/told.ts'
import { brokerChecks, clusterChecks } from './brokers.ts'
import { judgeAll, problem } from './check.ts'
import type { Context, NamedFinding } from './check.ts'
import { controlChecks } from './control.ts'
import { diskChecks } from './disk.ts'
import type { Facts } from './gather.ts'
import { groupNames, type GroupName } from './group-names.ts'
import { groupChecks, rightsChecks } from './groups.ts'
import { configChecks, hostChecks } from './host.ts'
import { redisChecks, remedyOfRedis } from './redis.ts'
import { schemaChecks } from './schemas.ts'
import { topicChecks } from './topics.ts'

export interface GroupFinding extends NamedFinding {
  readonly group: GroupName
}

/** Everything there is to say, group by group. */
export function judge(facts: Facts, context: Context): GroupFinding[] {
  const { host, kafka, schemas, control, redis, disk } = facts
  const { brokers, cluster } = kafka
  const findings: Readonly<Record<GroupName, () => readonly NamedFinding[]>> = {
    host: () => judgeAll(hostChecks, host, context),
    config: () => judgeAll(configChecks, host, context),
    brokers: () => [
      ...judgeAll(brokerChecks, told(brokers), context),
      ...judgeAll(clusterChecks, cluster, context),
    ],
    topics: () => judgeAll(topicChecks, cluster, context),
    groups: () => judgeAll(groupChecks, cluster, context),
    rights: () => judgeAll(rightsChecks, cluster, context),
    schemas: () => judgeAll(schemaChecks, told(schemas), context),
    control: () => judgeAll(controlChecks, control, context),
    redis: () =>
      redis.isTold
        ? judgeAll(redisChecks, redis, context)
        : [
            unusableRedis(redis.why, context),
            ...judgeAll(redisChecks, untold('no Redis'), context),
          ],
    disk: () => judgeAll(diskChecks, disk, context),
  }
  return groupNames.flatMap((group) => findings[group]().map((each) => ({ group, ...each })))
}

function unusableRedis(why: string, { config }: Context): NamedFinding {
  const mend = remedyOfRedis(why, config)
  return { check: 'reachable', ...problem('Redis cannot be used', why, mend) }
}
