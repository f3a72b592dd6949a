/**
 * Goal: nothing is lost, doubled or stale, whatever process dies when. Method: `node bench/run.js kills --runs 20` repeats the
 * seeded run of test/support/kill-run.ts on a Kafka and a Redis of its own, one line of JSON a run, and ends with 1 when one had a
 * problem. SEED=17 replays one run;
 * `--servers` kills the broker and Redis as well, `--logs DIR` keeps what the processes printed. docs/failure-tests.md says what is struck and what is compared.
 */
import path from 'node:path'
import { parseArgs } from 'node:util'
import { killRun } from '../test/support/kill-run.ts'
import { describeStrike } from '../test/support/kill-plan.ts'
import { ownBroker, ownRedis } from '../test/support/own-servers.ts'

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '20' },
    events: { type: 'string', default: '30000' },
    rate: { type: 'string', default: '2500' },
    logs: { type: 'string' },
    servers: { type: 'boolean', default: false },
  },
})
const only = process.env['SEED']
const seeds =
  only === undefined ? Array.from({ length: Number(values.runs) }, (_, i) => i + 1) : [Number(only)]

// So that processes and servers end with this one.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

let bad = 0
for (const seed of seeds) {
  const cleanUps: (() => Promise<void>)[] = []
  const onEnd = (cleanUp: () => Promise<void>) => void cleanUps.push(cleanUp)
  try {
    const broker = await ownBroker(onEnd)
    const redis = await ownRedis(onEnd)
    const { strikes, ...report } = await killRun(onEnd, {
      ...{ seed, brokers: [broker.address], redisUrl: redis.address },
      ...{ events: Number(values.events), perSecond: Number(values.rate) },
      ...(values.servers ? { servers: { broker, redis } } : {}),
      ...(values.logs === undefined ? {} : { logsDir: path.join(values.logs, String(seed)) }),
    })
    console.log(JSON.stringify(report))
    if (report.problems.length > 0) {
      bad++
      for (const strike of strikes) console.log(`  ${describeStrike(strike)}`)
    }
  } catch (error) {
    bad++
    console.log(JSON.stringify({ seed, failed: error instanceof Error ? error.stack : error }))
  } finally {
    for (const cleanUp of cleanUps.reverse()) await cleanUp()
  }
}
console.log(`${seeds.length - bad} of ${seeds.length} runs without a problem`)
process.exitCode = bad === 0 ? 0 : 1
