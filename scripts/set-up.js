// From a fresh clone to something that can run: dependencies, the servers' files and the build, each only where needed.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { fetchKafka, fetchRedis, kafkaVersion } from './fetch-servers.js'
import { preflight } from './preflight.js'
import { setUpTensorflow, tensorflowHome } from './tensorflow.js'

export const root = path.resolve(import.meta.dirname, '..')
export const cacheDir = path.join(root, '.freshet', 'cache')
const stepDeadlineMs = 10 * 60_000

/**
 * `servers` is {needsBroker, needsRedis}: what is not at an address given by the user. With `needsIndex` the vector index for large
 * catalogues is compiled too; without it they are searched exactly. `tensorflow` is 'required' or 'optional' for `model.engine: tfjs`.
 * Throws an error whose message says which step failed and how.
 */
export async function setUp(progress, { needsIndex = false, tensorflow, ...servers }) {
  const hasBroker = await exists(path.join(cacheDir, `kafka-${kafkaVersion}`))
  await preflight({
    needsJava: servers.needsBroker,
    needsMaven: servers.needsBroker && !hasBroker,
  })
  const fetchServers = async (report) => {
    if (servers.needsBroker) await fetchKafka(cacheDir, report)
    if (servers.needsRedis) await fetchRedis(cacheDir)
  }
  await Promise.all([
    installDependencies(progress).then(() =>
      Promise.all([build(progress), needsIndex ? buildIndexEngine(progress) : null]),
    ),
    servers.needsBroker && !hasBroker
      ? progress.step(`Kafka ${kafkaVersion} and Redis`, fetchServers)
      : fetchServers(),
    tensorflow === undefined ? null : installTensorflow(progress, tensorflow),
  ])
}

async function installDependencies(progress) {
  const lock = JSON.parse(await fs.readFile(path.join(root, 'package-lock.json'), 'utf8'))
  if (await isInstalled(lock)) return
  await progress.step('npm ci', async (report) => {
    const total = Object.keys(lock.packages).length
    const poll = setInterval(async () => {
      const names = await fs.readdir(path.join(root, 'node_modules')).catch(() => [])
      report(Math.min(names.length, total), total)
    }, 1_000)
    try {
      await runStep('npm', ['ci', '--no-progress', '--loglevel=error'])
    } finally {
      clearInterval(poll)
    }
  })
}

/** npm writes what it installed into node_modules when it is done; an interrupted or older install does not match. */
async function isInstalled(lock) {
  const file = path.join(root, 'node_modules', '.package-lock.json')
  const text = await fs.readFile(file, 'utf8').catch(() => null)
  if (text === null) return false
  const installed = JSON.parse(text).packages
  const isSame = (name) =>
    lock.packages[name]?.version === installed[name]?.version &&
    lock.packages[name]?.integrity === installed[name]?.integrity
  const isNeeded = (name) => name !== '' && lock.packages[name].optional !== true
  return (
    Object.keys(installed).every(isSame) &&
    Object.keys(lock.packages).filter(isNeeded).every(isSame)
  )
}

/** Compiles when the sources are not those of the last build. Types are left to `npm test`: that takes three times as long. */
async function build(progress) {
  const stamp = path.join(root, 'dist', '.sources')
  const hash = await hashOfSources()
  if ((await fs.readFile(stamp, 'utf8').catch(() => '')) === hash) return
  await progress.step('Build', async () => {
    const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    const projects = ['tsconfig.build.json', path.join('src', 'console', 'page')]
    await Promise.all(
      projects.map((project) => runStep(process.execPath, [compiler, '-p', project, '--noCheck'])),
    )
    await runStep(process.execPath, [path.join('scripts', 'copy-page.js')])
    await fs.writeFile(stamp, hash)
  })
}

/** Compiles hnswlib-node, which brings no binary of its own. */
export async function buildIndexEngine(progress) {
  const built = path.join(root, 'node_modules', 'hnswlib-node', 'build', 'Release', 'addon.node')
  if (await exists(built)) return
  // Node's headers are fetched from nodejs.org where they did not come with it.
  const nodeDir = path.resolve(path.dirname(process.execPath), '..')
  const hasHeaders = await exists(path.join(nodeDir, 'include', 'node', 'node_api.h'))
  const headers = hasHeaders ? [`--nodedir=${nodeDir}`] : []
  await progress.step('Vector index (hnswlib)', () =>
    runStep('npm', ['rebuild', 'hnswlib-node', '--ignore-scripts=false', ...headers]),
  )
}

/** Where it cannot be had and need not be, that is said: its tests are skipped. */
async function installTensorflow(progress, need) {
  if (await exists(tensorflowHome)) return
  await progress
    .step('TensorFlow', () => setUpTensorflow())
    .catch((error) => {
      const line = `TensorFlow cannot be set up: ${error.message}`
      if (need === 'required') throw new Error(line)
      console.log(`${line}\nThe tests of \`model.engine: tfjs\` are skipped.`)
    })
}

async function hashOfSources() {
  const names = await fs.readdir(path.join(root, 'src'), { recursive: true })
  const isSource = (name) => /\.(ts|html|css|svg)$|tsconfig\.json$/.test(name)
  const files = names.filter(isSource).map((name) => path.join('src', name))
  const hash = createHash('sha256')
  for (const file of [
    ...files.sort(),
    'tsconfig.json',
    'tsconfig.build.json',
    'package-lock.json',
  ]) {
    hash.update(`${file}\n`).update(await fs.readFile(path.join(root, file)))
  }
  return hash.digest('hex')
}

/** Runs a command to its end; what it printed is shown only when it failed. */
function runStep(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    const endChild = () => child.kill('SIGTERM')
    process.once('exit', endChild)
    const timer = setTimeout(() => child.kill('SIGKILL'), stepDeadlineMs)
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (chunk) => (output += chunk))
    child.stderr.setEncoding('utf8').on('data', (chunk) => (output += chunk))
    const settle = (error) => {
      clearTimeout(timer)
      process.off('exit', endChild)
      if (error === null) resolve()
      else reject(new Error(error))
    }
    child.once('error', (error) => settle(`cannot run ${command}: ${error.message}`))
    child.once('close', (code, signal) => {
      const line = `${command} ${args.join(' ')} ended with ${signal ?? code}`
      settle(code === 0 ? null : `${line}:\n${output.trimEnd()}`)
    })
  })
}

function exists(file) {
  return fs.access(file).then(
    () => true,
    () => false,
  )
}
