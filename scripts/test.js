// `npm test [-- vitest arguments]`: sets up, then format, lint, types and every test. Ends with one line of totals.
import { spawn } from 'node:child_process'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { createProgress } from './progress.js'
import { root, setUp } from './set-up.js'
import { totalsOf } from './test-totals.js'

const checkDeadlineMs = 4 * 60_000
const testsDeadlineMs = 20 * 60_000

const ownersGoneWithinMs = 10_000

const running = new Set()
let finishing = null
const workDir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-npm-test-'))
const resultsFile = path.join(workDir, 'results.json')
// Set before anything else is started: a caller's deadline must not leave a broker behind.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => void finish(1))

try {
  // Also with a REDIS_URL: tests that kill a Redis start one of their own.
  const tensorflow = process.env.TEST_TENSORFLOW ?? 'optional'
  await setUp(createProgress(), {
    needsBroker: true,
    needsRedis: true,
    needsIndex: true,
    tensorflow,
  })
} catch (error) {
  console.error(error.message)
  await finish(1)
}
const checks = await Promise.all([
  check('Format', 'prettier/bin/prettier.cjs', ['--check', '.', '--log-level', 'warn']),
  check('Lint', 'eslint/bin/eslint.js', ['.']),
  check('Types', 'typescript/bin/tsc', ['--noEmit', '-p', '.']),
  check('Types of the page', 'typescript/bin/tsc', ['--noEmit', '-p', 'src/console/page']),
])
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${resultsFile}`]
const tests = await runTool('vitest/vitest.mjs', ['run', ...reporters, ...process.argv.slice(2)], {
  deadlineMs: testsDeadlineMs,
  stdio: 'inherit',
})
console.log(`Tests: ${tests.seconds} s`)

const results = await fs.readFile(resultsFile, 'utf8').then(JSON.parse, () => null)
const totals = totalsOf(results, tests.isOk, checks)
for (const problem of totals.problems) console.log(problem)
await finish(totals.failed === 0 ? 0 : 1, `${totals.passed} passed, ${totals.failed} failed`)

/** One check whose output is shown only when it fails: they run at the same time. */
async function check(name, tool, args) {
  const result = await runTool(tool, args, { deadlineMs: checkDeadlineMs, stdio: 'pipe' })
  console.log(`${name}: ${result.seconds} s${result.isOk ? '' : ' FAILED'}`)
  if (!result.isOk) console.log(result.output.trimEnd())
  return { name, isOk: result.isOk }
}

function runTool(tool, args, { deadlineMs, stdio }) {
  const startedMs = performance.now()
  const script = path.join(root, 'node_modules', tool)
  // In a process group of its own, so that its end takes its workers along. Temporary folders of tests lie in ours.
  const child = spawn(process.execPath, [script, ...args], {
    cwd: root,
    detached: true,
    stdio: ['ignore', stdio, stdio],
    env: { ...process.env, TMPDIR: workDir },
  })
  running.add(child)
  let output = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk) => (output += chunk))
  child.stderr?.setEncoding('utf8').on('data', (chunk) => (output += chunk))
  const timer = setTimeout(() => {
    console.log(`${tool} did not end within ${deadlineMs / 60_000} minutes and is killed`)
    killGroup(child)
  }, deadlineMs)
  return new Promise((resolve) => {
    const settle = (isOk) => {
      clearTimeout(timer)
      running.delete(child)
      resolve({ isOk, output, seconds: ((performance.now() - startedMs) / 1_000).toFixed(1) })
    }
    child.once('error', (error) => {
      output += error.message
      settle(false)
    })
    child.once('close', (code) => settle(code === 0))
  })
}

function killGroup(child) {
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch (error) {
    if (error.code !== 'ESRCH') throw error
  }
}

/** Ends whatever still runs and leaves. The totals come last, after everything that may still print. */
function finish(exitCode, lastLine) {
  // Killing the tools lets the main flow go on to its own end: the first caller decides.
  finishing ??= (async () => {
    for (const child of running) killGroup(child)
    await endServers()
    await fs.rm(workDir, { recursive: true, force: true, maxRetries: 3 })
    if (lastLine !== undefined) console.log(lastLine)
    process.exit(exitCode)
  })()
  return finishing
}

/** Servers of tests are in sessions of their own; when their test process was killed, its run records name them. */
async function endServers() {
  const names = await fs.readdir(workDir, { recursive: true })
  const runDirs = new Set(
    names.filter((name) => path.basename(path.dirname(name)) === 'run').map((n) => path.dirname(n)),
  )
  if (runDirs.size === 0) return
  const { endOrphans } = await import('../dist/runtime/local/orphans.js')
  const deadlineMs = Date.now() + ownersGoneWithinMs
  for (const dir of runDirs) {
    // A killed owner may take a moment to be gone.
    while (!(await endedOrphans(endOrphans, path.join(workDir, dir)))) {
      if (Date.now() > deadlineMs) return console.error(`servers of tests still run: ${dir}`)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

async function endedOrphans(endOrphans, dir) {
  try {
    await endOrphans(dir)
    return true
  } catch (error) {
    if (error.code === 'ALREADY_RUNNING') return false
    throw error
  }
}
