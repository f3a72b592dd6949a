// Checks what has to be on the machine before anything else can run. Plain JavaScript without dependencies.
import { execFile, spawn } from 'node:child_process'
import fs from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const nodeMinimum = [20, 19]
const javaMinimum = 17
const preflightDeadlineMs = 5 * 60_000

/**
 * What to do about the tools of this machine. Pure.
 * facts: {nodeVersion: '20.19.0', javaMajor: number|null, needsJava, hasMaven, needsMaven, hasApt, isRoot}
 * -> {kind: 'ok'} | {kind: 'install', packages} | {kind: 'refuse', lines}
 */
export function decide(facts) {
  const lines = []
  const [major, minor] = facts.nodeVersion.split('.').map(Number)
  if (major < nodeMinimum[0] || (major === nodeMinimum[0] && minor < nodeMinimum[1])) {
    lines.push(
      `freshet needs Node ${nodeMinimum.join('.')} or newer; this is ${facts.nodeVersion}.`,
    )
    lines.push('  https://nodejs.org, or:  nvm install 20')
  }
  const missing = []
  if (facts.needsJava && (facts.javaMajor ?? 0) < javaMinimum) {
    const found = facts.javaMajor === null ? 'none was found' : `this is ${facts.javaMajor}`
    missing.push({
      reason: `The Kafka broker needs Java ${javaMinimum} or newer; ${found}.`,
      apt: 'openjdk-17-jre-headless',
      brew: 'openjdk@17',
    })
  }
  if (facts.needsMaven && !facts.hasMaven) {
    missing.push({ reason: 'Fetching the Kafka broker needs Maven.', apt: 'maven', brew: 'maven' })
  }
  if (lines.length === 0 && missing.length === 0) return { kind: 'ok' }
  if (lines.length === 0 && facts.isRoot && facts.hasApt) {
    return { kind: 'install', packages: missing.map((tool) => tool.apt) }
  }
  if (missing.length > 0) {
    lines.push(...missing.map((tool) => tool.reason))
    lines.push(
      `  Debian, Ubuntu:  sudo apt-get install -y ${missing.map((tool) => tool.apt).join(' ')}`,
    )
    lines.push(`  macOS:           brew install ${missing.map((tool) => tool.brew).join(' ')}`)
  }
  return { kind: 'refuse', lines }
}

/** The major version in what `java -version` prints, or null. Java 8 calls itself 1.8. */
export function javaMajorOf(printed) {
  const match = /version "(\d+)(?:\.(\d+))?/.exec(printed)
  if (match === null) return null
  return match[1] === '1' ? Number(match[2]) : Number(match[1])
}

/** `needs` is {needsJava, needsMaven}. Returns once everything is there; prints what is missing and exits with 1 otherwise. */
export async function preflight(needs) {
  const decision = decide(await gatherFacts(needs))
  if (decision.kind === 'ok') return
  if (decision.kind === 'install') {
    await install(decision.packages)
    const after = decide({ ...(await gatherFacts(needs)), isRoot: false })
    if (after.kind === 'ok') return
    refuse(after.lines)
  }
  refuse(decision.lines)
}

/** The real path of the JVM's launcher: JAVA_HOME's, else the first on the PATH; null when there is none. */
export async function findJava() {
  const home = process.env.JAVA_HOME
  return findExecutable('java', home ? [path.join(home, 'bin')] : [])
}

async function gatherFacts(needs) {
  const [java, maven, apt] = await Promise.all([
    findJava(),
    findExecutable('mvn'),
    findExecutable('apt-get'),
  ])
  const printed =
    java === null
      ? ''
      : await promisify(execFile)(java, ['-version'], { timeout: 30_000 }).then(
          ({ stdout, stderr }) => stdout + stderr,
          () => '',
        )
  return {
    ...needs,
    nodeVersion: process.versions.node,
    javaMajor: javaMajorOf(printed),
    hasMaven: maven !== null,
    hasApt: apt !== null,
    isRoot: process.getuid?.() === 0,
  }
}

async function findExecutable(name, before = []) {
  const folders = [...before, ...(process.env.PATH ?? '').split(path.delimiter)]
  for (const folder of folders) {
    const found = await fs.realpath(path.join(folder, name)).catch(() => null)
    if (found !== null) return found
  }
  return null
}

async function install(packages) {
  console.log(`Installing ${packages.join(' and ')} by apt-get`)
  if (await aptGet('install', ...packages)) return
  await aptGet('update')
  if (await aptGet('install', ...packages)) return
  // Newer releases no longer have Java 17, but their default is newer still.
  await aptGet('install', ...packages.map((p) => p.replace(/^openjdk-17-/, 'default-')))
}

/** True when it succeeded. */
function aptGet(verb, ...packages) {
  const options = verb === 'install' ? ['-y', '--no-install-recommends'] : []
  const child = spawn('apt-get', ['-qq', verb, ...options, ...packages], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    timeout: preflightDeadlineMs,
  })
  return new Promise((resolve) => {
    child.once('error', () => resolve(false))
    child.once('close', (code) => resolve(code === 0))
  })
}

function refuse(lines) {
  for (const line of lines) console.error(line)
  process.exit(1)
}
