/**
 * Goal: whatever process dies when, the generations are the same to the bit, and every example is in exactly one day. Method:
 * `node bench/run.js daily-kills --kills 20 --seeds 1` replays three generated days at full speed, once undisturbed and once for each seed with
 * SIGKILLs of compactor, indexer, learner, pod and controller, each on a Kafka and a Redis of its own; with `--servers` the broker is killed in the midst of the
 * first switch, an emptied Redis is what the second one meets, and a second controller begins in the third. Recall is asked all along, and no reply may be mixed. Then it compares every file of every
 * generation, and runs `freshet audit` for each day. One line of JSON a run; ends with 1 when one had a problem.
 */
import { parseArgs } from 'node:util'
import { dailyRun, type DailyRun } from '../test/support/daily-run.ts'
import { ownBroker, ownRedis } from '../test/support/own-servers.ts'

const { values } = parseArgs({
  options: {
    days: { type: 'string', default: '3' },
    events: { type: 'string', default: '20000' },
    kills: { type: 'string', default: '20' },
    every: { type: 'string', default: '1500' },
    seeds: { type: 'string', default: '1' },
    servers: { type: 'boolean', default: false },
  },
})

// So that processes and servers end with this one.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const undisturbed = await run(0, 0)
console.log(JSON.stringify({ ...undisturbed, files: undefined }))
let bad = undisturbed.problems.length > 0 ? 1 : 0
for (const seed of values.seeds.split(',').map(Number)) {
  const struck = await run(seed, Number(values.kills))
  const problems = [...struck.problems, ...differences(undisturbed, struck)]
  if (problems.length > 0) bad++
  console.log(JSON.stringify({ seed, ...struck, files: undefined, problems }))
}
process.exitCode = bad === 0 ? 0 : 1

async function run(seed: number, kills: number): Promise<DailyRun> {
  const cleanUps: (() => Promise<void>)[] = []
  const onEnd = (cleanUp: () => Promise<void>) => void cleanUps.push(cleanUp)
  try {
    const broker = await ownBroker(onEnd)
    const redis = await ownRedis(onEnd)
    return await dailyRun(onEnd, {
      ...{ broker, redis, seed, kills },
      strikesServers: kills > 0 && values.servers,
      ...{ days: Number(values.days), eventsPerDay: Number(values.events) },
      everyMs: Number(values.every),
    })
  } finally {
    for (const cleanUp of cleanUps.reverse()) await cleanUp()
  }
}

function differences(one: DailyRun, other: DailyRun): string[] {
  const found: string[] = []
  for (const [day, files] of Object.entries(one.files)) {
    for (const [name, sha256] of Object.entries(files)) {
      const now = other.files[day]?.[name]
      if (now !== sha256) found.push(`${day}: ${name} is ${now ?? 'not there'}, not ${sha256}`)
    }
  }
  for (const [day, content] of Object.entries(one.audited)) {
    const now = JSON.stringify(other.audited[day])
    if (now !== JSON.stringify(content)) {
      found.push(`${day}: examples are ${now}, not ${JSON.stringify(content)}`)
    }
  }
  return found
}
