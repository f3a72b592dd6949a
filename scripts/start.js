// `npm start [-- flags]`: makes this clone runnable, then becomes `freshet start <flags>` in the same process, so that
// signals and the exit code are its own.
import path from 'node:path'
import { createProgress } from './progress.js'
import { root, setUp } from './set-up.js'

// Default handling of a signal skips the exit handlers that end npm and Maven.
const leave = () => process.exit(130)
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
for (const signal of signals) process.once(signal, leave)
try {
  const { FRESHET_KAFKA_BROKERS, FRESHET_REDIS_URL, REDIS_URL } = process.env
  await setUp(createProgress(), {
    needsBroker: FRESHET_KAFKA_BROKERS === undefined,
    needsRedis: FRESHET_REDIS_URL === undefined && REDIS_URL === undefined,
  })
} catch (error) {
  console.error(error.message)
  process.exit(1)
}
for (const signal of signals) process.off(signal, leave)

const freshet = path.join(root, 'bin', 'freshet.js')
process.argv = [process.execPath, freshet, 'start', ...process.argv.slice(2)]
await import(freshet)
