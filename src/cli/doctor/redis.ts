import type { ControlDocument } from '../../records/types.ts'
import type { Told } from '../../runtime/doctor/told.ts'
import type { RedisFacts, RedisNode } from '../../runtime/redis/examine.ts'
import { isAtLeast } from './host.ts'
import { megabytes, ok, orOk, plural, problem, seconds, untoldFinding, warning } from './check.ts'
import type { Check, Context, Finding } from './check.ts'

/** With the control document, which says whose rows there should be. */
export interface RedisWithDocument extends RedisFacts {
  readonly document: Told<ControlDocument | null>
}

const versionNeeded = '6.2'
const clockApartMaxMs = 1_000
const fullShare = 0.8

export const redisChecks: readonly Check<RedisWithDocument>[] = [
  eachNode('redis-version', ({ address, info }) => {
    const version = info['redis_version'] ?? '0'
    return isAtLeast(version, versionNeeded)
      ? ok(`${address}: Redis ${version}`)
      : problem(
          `${address}: Redis ${version} is too old`,
          `freshet is written for Redis ${versionNeeded}`,
          `use Redis ${versionNeeded} or newer`,
        )
  }),
  eachNode('eviction', ({ address, info }, { config }) => {
    const policy = info['maxmemory_policy'] ?? 'unknown'
    return policy === 'noeviction'
      ? ok(`${address}: maxmemory-policy noeviction`)
      : problem(
          `${address}: maxmemory-policy is ${policy}`,
          'a row that is evicted looks like a new user: recall serves the default row and does not know better',
          `${adminCli(config, address)} CONFIG SET maxmemory-policy noeviction`,
        )
  }),
  eachNode('writable', ({ address, info }, { config }) => {
    const cli = adminCli(config, address)
    if (info['role'] === 'slave') {
      const primary = `${info['master_host']}:${info['master_port']}`
      const why = `it is a replica of ${primary}, so the learner cannot write`
      return problem(`${address} is read-only`, why, `FRESHET_REDIS_URL=redis://${primary}`)
    }
    if (info['rdb_last_bgsave_status'] === 'err' || info['aof_last_write_status'] === 'err') {
      const why = 'it could not save to its disk, and may refuse writes with MISCONF'
      const mend = `free space where Redis saves, or ${cli} CONFIG SET stop-writes-on-bgsave-error no: rows need no persistence`
      return problem(`${address} cannot save`, why, mend)
    }
    return ok(`${address} takes writes`)
  }),
  { name: 'memory', judge: judgeMemory },
  {
    name: 'scripts',
    judge: ({ scriptProblem, nodes }, { config }) => {
      if (scriptProblem === null) return [ok('scripts run')]
      // Else it is the cluster that refuses, or nothing that answers.
      if (!/NOPERM|unknown command/.test(scriptProblem)) return [untoldFinding(scriptProblem)]
      const what = `scripts are refused: ${scriptProblem}`
      const why = 'rows are written by scripts, so that none is overwritten by an older one'
      const addresses = nodes.map(({ address }) => address)
      return [problem(what, why, allowCommand(config, addresses, '+@scripting'))]
    },
  },
  {
    name: 'cluster',
    judge: ({ nodes, clusterState }, { config }) => {
      const isOne = nodes.some(({ info }) => info['cluster_enabled'] === '1')
      if (isOne !== config.redis.cluster) {
        const what = `redis.cluster is ${config.redis.cluster}, the server is ${isOne ? 'part of' : 'not part of'} a cluster`
        const why = isOne ? 'keys of other nodes are refused with MOVED' : 'it knows no slots'
        return [problem(what, why, `redis.cluster: ${isOne}`)]
      }
      if (clusterState === null || clusterState === 'ok') {
        return [
          ok(
            isOne
              ? `cluster of ${plural(nodes.length, 'primary')}, state ok`
              : 'one server, as configured',
          ),
        ]
      }
      const cli = `redis-cli${tlsOptions(config)} --cluster`
      return [
        problem(
          `the cluster is ${clusterState}`,
          'slots without a node refuse every command',
          `${cli} check ${nodes[0]?.address} names the slots; ${cli} fix ${nodes[0]?.address}`,
        ),
      ]
    },
  },
  {
    name: 'latency',
    judge: ({ pingMs }, { config }) => {
      const middle = pingMs[Math.floor(pingMs.length / 2)]!
      const deadline = config.recall.redisDeadlineMs
      return [
        middle * 2 <= deadline
          ? ok(`answers in ${middle.toFixed(1)} ms, recall waits ${deadline} ms`)
          : warning(
              `answers in ${middle.toFixed(1)} ms, recall waits ${deadline} ms`,
              'many replies will be DEGRADED',
              `recall.redisDeadlineMs: ${Math.ceil(middle * 4)}, or a Redis nearer to the pods`,
            ),
      ]
    },
  },
  eachNode('clock', ({ address, clockAheadMs }) =>
    Math.abs(clockAheadMs) <= clockApartMaxMs
      ? ok(`${address}: same time as here`)
      : warning(
          `${address}: its clock is ${seconds(Math.abs(clockAheadMs))} ${clockAheadMs > 0 ? 'ahead of' : 'behind'} this machine`,
          'one of the two is wrong, and freshness is measured by clocks',
          'synchronise both, e.g. timedatectl set-ntp true',
        ),
  ),
  { name: 'orphans', judge: judgeOrphans },
]

function eachNode(
  name: string,
  judge: (node: RedisNode, context: Context) => Finding,
): Check<RedisWithDocument> {
  return { name, judge: ({ nodes }, context) => nodes.map((node) => judge(node, context)) }
}

/** What mends a Redis that could not be looked at, by the words of sockets, TLS and Redis. */
export function remedyOfRedis(why: string, config: Context['config']): string {
  const [first] = config.redis.url.split(',')
  const { hostname, port } = new URL(first!.trim())
  const denied = /NOPERM.* '(\w+)/.exec(why)?.[1]
  if (denied !== undefined) {
    return allowCommand(config, [`${hostname}:${port === '' ? 6379 : port}`], `+${denied}`)
  }
  if (/NOAUTH|WRONGPASS|NOPERM/.test(why)) {
    return 'FRESHET_REDIS_USERNAME and FRESHET_REDIS_PASSWORD as the server knows them'
  }
  if (/altnames/.test(why)) return 'redis.url: a host that is in the certificate of the server'
  if (/certificate|self-signed|CERT|issuer/.test(why)) {
    return "redis.caFile: the certificate of the server's authority"
  }
  if (/wrong version number|SSL|TLS|EPROTO/.test(why)) {
    return 'redis.url: redis://, or the TLS port of the server'
  }
  if (/closed|ECONNRESET/.test(why)) {
    return 'redis.url: rediss://, if this is a TLS port; else let this machine reach it: address, firewall'
  }
  const start = 'start Redis, or set FRESHET_REDIS_URL=redis://host:port to where it listens'
  const isCluster = /slots|cluster support disabled/.test(why)
  return `${isCluster ? 'redis.cluster: false, if it is no cluster; else ' : ''}${start}`
}

/** Each node of a cluster has its own users. */
function allowCommand(
  config: Context['config'],
  addresses: readonly string[],
  commands: string,
): string {
  const user = config.redis.username ?? 'default'
  return addresses
    .map((address) => `${adminCli(config, address)} ACL SETUSER ${user} ${commands}`)
    .join(' && ')
}

/** For what only an administrator may do. Without the password: redis-cli takes it from REDISCLI_AUTH. */
function adminCli(config: Context['config'], address: string): string {
  const at = address.lastIndexOf(':')
  return `redis-cli -h ${address.slice(0, at)} -p ${address.slice(at + 1)}${tlsOptions(config)}`
}

/** For the user of freshet. */
function redisCli(config: Context['config'], address: string): string {
  const { username } = config.redis
  return `${adminCli(config, address)}${username === undefined ? '' : ` --user ${username}`}`
}

function tlsOptions({ redis }: Context['config']): string {
  if (!redis.url.startsWith('rediss:')) return ''
  return redis.caFile === undefined ? ' --tls' : ` --tls --cacert ${redis.caFile}`
}

/** Of a cluster, summed: rows are spread evenly. */
function judgeMemory(facts: RedisWithDocument, { config }: Context): readonly Finding[] {
  const sum = (field: string): number =>
    facts.nodes.reduce((total, { info }) => total + Number(info[field] ?? 0), 0)
  const used = sum('used_memory')
  const configured = sum('maxmemory')
  const most = configured > 0 ? configured : sum('total_system_memory')
  const counts = [...facts.keys.values()]
  const keys = counts.reduce((total, count) => total + count, 0)
  // What is there before the first row is counted into the rows: rather too much than too little.
  const next = keys === 0 ? 0 : (used / keys) * Math.max(...counts)
  const what = `${megabytes(used)} of ${megabytes(most)} used, rows of one more generation take ${megabytes(next)}`
  if (most === 0) return [untoldFinding('the server does not say how much memory it may use')]
  if (used + next <= most && used <= most * fullShare) return [ok(what)]
  const address = facts.nodes[0]?.address ?? ''
  const needed = Math.ceil((used + next) / fullShare / facts.nodes.length / 1e6)
  const mend =
    configured > 0
      ? `${adminCli(config, address)} CONFIG SET maxmemory ${needed}mb, where the machine has that much`
      : `a machine with ${needed} MB for Redis, or more nodes`
  const why =
    'a candidate has all its rows beside those of the live generation; without room writes are refused'
  return [warning(what, why, mend)]
}

function judgeOrphans(facts: RedisWithDocument, { config }: Context): readonly Finding[] {
  const { document, keys, hasAllKeys, nodes } = facts
  if (!document.isTold) return [untoldFinding(document.why)]
  if (document.value === null) return [untoldFinding('no controller has written a document yet')]
  const { live, candidate, previous } = document.value
  const known = new Set([live, candidate, previous])
  const orphans = [...keys].filter(([generation]) => !known.has(generation))
  return orOk(
    orphans.map(([generation, count]) => {
      const pattern = `${config.redis.keyPrefix}{${generation}:*`
      const mend = nodes
        .map(({ address }) => {
          const cli = redisCli(config, address)
          // A command of a cluster is for one slot.
          const atOnce = config.redis.cluster ? 1 : 500
          return `${cli} --scan --pattern '${pattern}' | tr '\\n' '\\0' | xargs -0 -n ${atOnce} ${cli} UNLINK`
        })
        .join('; ')
      const why = 'the learner removes rows when a generation goes; these it has missed'
      return warning(`${plural(count, 'key')} of ${generation}, which is not in use`, why, mend)
    }),
    `${plural(keys.size, 'generation')} with rows, all in use${hasAllKeys ? '' : ' (of the keys that were looked at)'}`,
  )
}
