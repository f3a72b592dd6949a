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
import { redisChecks } from './redis.ts'
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
        : [unusableRedis(redis.why), ...judgeAll(redisChecks, untold('no Redis'), context)],
    disk: () => judgeAll(diskChecks, disk, context),
  }
  return groupNames.flatMap((group) => findings[group]().map((each) => ({ group, ...each })))
}

function unusableRedis(why: string): NamedFinding {
  const start = 'start Redis, or set FRESHET_REDIS_URL=redis://host:port to where it listens'
  const mend = /NOAUTH|WRONGPASS|NOPERM/.test(why)
    ? 'FRESHET_REDIS_USERNAME and FRESHET_REDIS_PASSWORD as the server knows them'
    : `${/slots/.test(why) ? 'redis.cluster: false, if it is no cluster; else ' : ''}${start}`
  return { check: 'reachable', ...problem('Redis cannot be reached', why, mend) }
}
