// Starts a server, says where, and stays: the owner that a test kills. Uses the build, as a user's process would.
import path from 'node:path'
import { fetchBroker, startBroker } from '../../dist/runtime/local/kafka-broker.js'
import { fetchRedisServer, startRedis } from '../../dist/runtime/local/redis-server.js'

const [kind, dir, cacheDir] = process.argv.slice(2)
const log = { info() {}, warn() {}, error() {}, debug() {}, child: () => log }
const options = { dataDir: path.join(dir, kind), runDir: path.join(dir, 'run'), log }
const server =
  kind === 'kafka'
    ? await startBroker({ ...options, libsDir: await fetchBroker(cacheDir) })
    : await startRedis({ ...options, binary: await fetchRedisServer(cacheDir), persist: false })
console.log(JSON.stringify({ pid: server.pid, address: server.bootstrap ?? server.url }))
