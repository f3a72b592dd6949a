import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, symlink } from 'node:fs/promises'
import path from 'node:path'
import { expect, inject, onTestFinished, test } from 'vitest'
import { disagreements } from '../../src/cli/evaluate/agreement.ts'
import { scoresOf } from '../../src/cli/evaluate/figures.ts'
import { PodServing } from '../../src/cli/evaluate/pod-serving.ts'
import { servedConfig } from '../../src/cli/evaluate/pods.ts'
import type { EvaluationReport } from '../../src/cli/evaluate/report.ts'
import type { Serving } from '../../src/cli/evaluate/serving.ts'
import { questionsOf } from '../../src/cli/evaluate/temporal.ts'
import { askTwoTowers, besideRow } from '../../src/cli/evaluate/two-tower.ts'
import { loadConfig } from '../../src/config/load.ts'
import { endOrphans } from '../../src/runtime/local/orphans.ts'
import { noFeatures } from '../../src/records/types.ts'
import type { SourceEvent } from '../../src/streams/source-event.ts'
import {
  sourceOf,
  startMs,
  worldOf,
  worldSettings,
  writeWorld,
} from '../support/evaluation-world.ts'
import { cacheDir, ownBroker, silentLog, temporaryDir } from '../support/own-servers.ts'
import { cleanEnvironment } from '../support/role-process.ts'

const bin = path.resolve(import.meta.dirname, '../../bin/freshet.js')

test('the command asks a real pod, which ranks as memory does, and leaves nothing behind', async () => {
  const run = await evaluation()
  const { code, stdout, stderr } = await run.ended
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.not.stringContaining('WARN') })
  expect(stdout).toMatch(/^from the pod +\.\d{4} +\.\d{4} +\.\d{4}$/m)
  const report = JSON.parse(await readFile(run.json, 'utf8')) as EvaluationReport
  const [agreement] = report.pods!
  expect(disagreements(agreement!)).toEqual([])
  expect(agreement!.memory).toEqual(report.rows.at(-2)!.mean)
  const { OK = 0, COLD_USER = 0, ...others } = agreement!.replies.statuses
  expect(others).toEqual({})
  expect(OK).toBeGreaterThan(0)
  expect(OK + COLD_USER).toBe(report.cases)
  // One generation for each day.
  expect(agreement!.replies.indexRecalls).toHaveLength(2)
  expect(await readdir(run.temporary)).toEqual([])
})

test('interrupted, it ends what it has started', async () => {
  const run = await evaluation({ onTraining: ({ child }) => void child.kill('SIGINT') })
  const { code, stderr } = await run.ended
  expect(stderr).toContain('freshet: the evaluation was interrupted')
  expect(code).toBe(1)
  expect(await readdir(run.temporary)).toEqual([])
})

test('it ends with the servers that it asks', async () => {
  const run = await evaluation({
    onTraining: ({ temporary }) => {
      const [dir] = readdirSync(temporary)
      const record = readFileSync(path.join(temporary, dir!, 'run', 'redis.json'), 'utf8')
      process.kill((JSON.parse(record) as { pid: number }).pid, 'SIGKILL')
    },
  })
  const { code, stderr } = await run.ended
  expect(stderr).toContain('freshet: Redis ended in the middle of the evaluation')
  expect(code).toBe(1)
  expect(await readdir(run.temporary)).toEqual([])
})

test('what a pod refuses is counted and said, and fails the command', async () => {
  const run = await evaluation({ settings: ['recall.kMax=50'] })
  const { code, stdout, stderr } = await run.ended
  expect(stdout).toMatch(
    /^replies: \d+ INVALID\n {2}INVALID for the case of request r3-\d+ .*kMax/m,
  )
  expect(stderr).toMatch(
    /^freshet: seed 17: recall@50 is \.0000 from the pod and \.\d{4} in memory/m,
  )
  expect(code).toBe(1)
})

test('a reply that does not come names its case, and where to look', async () => {
  const broker = await ownBroker(onTestFinished)
  const { beside, ask } = await served({ brokers: broker.address, replyWithinMs: 1_000 })
  onTestFinished(() => void process.kill(broker.pid(), 'SIGCONT'))
  const ranks: Serving['ranks'] = (cases, count) => {
    process.kill(broker.pid(), 'SIGSTOP')
    return beside.ranks(cases, count)
  }
  await expect(ask(withChanged(beside, { ranks }))).rejects.toMatchObject({
    code: 'TIMEOUT',
    message: expect.stringMatching(
      /^the case of request r3-\d+ \(user user\d+, item \w+\): .*no reply within 1000 ms.*lines above/,
    ) as string,
  })
})

const faults: Readonly<Record<string, (serving: Serving) => Partial<Serving>>> = {
  'overrides are not published': (serving) => ({
    apply: (sync) => serving.apply({ ...sync, overrides: [] }),
  }),
  'user rows are not written': (serving) => ({
    apply: (sync) => serving.apply({ ...sync, partitions: [] }),
  }),
}

test('a pod that everything reaches agrees with memory, and what it recalls before its first click does not count', async () => {
  const { beside, ask } = await served()
  expect(await ask(beside)).toEqual([])
})

test.for(Object.keys(faults))('it is seen where %s', async (fault) => {
  const { beside, ask } = await served()
  expect(await ask(withChanged(beside, faults[fault]!(beside)))).not.toEqual([])
})

function withChanged(serving: Serving, change: Partial<Serving>): Serving {
  return {
    load: (lineage) => serving.load(lineage),
    apply: (sync) => serving.apply(sync),
    ranks: (cases, count) => serving.ranks(cases, count),
    ...change,
  }
}

/** A pod for a small log, and what asks it, resolving with disagreements. */
async function served({
  brokers = inject('kafkaBrokers')[0]!,
  replyWithinMs,
}: { readonly brokers?: string; readonly replyWithinMs?: number } = {}) {
  const dir = await temporaryDir(onTestFinished)
  const config = loadConfig({ texts: [], environment: {}, settings: worldSettings })
  const source = sourceOf([...catalogue(), ...worldOf(3)])
  const questions = await questionsOf(source, config, { days: 2, until: null })
  const interrupt = new AbortController()
  const servers = { dir, broker: { bootstrap: brokers }, redis: { url: inject('redisUrl') } }
  const own = servedConfig(config, servers, `evaluate-${randomUUID()}`)
  const { items } = questions
  const beside = await PodServing.open(own, items, silentLog, interrupt, replyWithinMs)
  onTestFinished(() => beside.close())
  const ask = async (serving: Serving): Promise<string[]> => {
    const { signal } = interrupt
    const figures = await askTwoTowers(questions, config, 'shuffled', { serving, signal })
    const [memory, pods] = [scoresOf(figures[besideRow]!), scoresOf(figures.at(-1)!)]
    return disagreements({ seed: 17, memory, pods, replies: beside.facts })
  }
  return { beside, ask }
}

/** Of items that are clicked from some day on, or never: a pod knows all of them at once. */
function catalogue(): SourceEvent[] {
  return Array.from({ length: 80 }, (_, i) => {
    const itemId = `item${i}`
    const item = { itemId, title: itemId, createdAtMs: 0, features: noFeatures }
    return { kind: 'item', itemId, item, eventTimeMs: startMs }
  })
}

interface EvaluationToRun {
  readonly settings?: readonly string[]
  /** Called when servers run and the training begins. */
  readonly onTraining?: (run: { readonly child: ChildProcess; readonly temporary: string }) => void
}

/** `freshet evaluate --rank-with pods` on a small log. */
async function evaluation({ settings = [], onTraining }: EvaluationToRun = {}) {
  const dir = await temporaryDir(onTestFinished)
  const [temporary, json] = [path.join(dir, 'tmp'), path.join(dir, 'report.json')]
  await mkdir(temporary)
  await mkdir(path.join(dir, '.freshet'))
  await symlink(cacheDir, path.join(dir, '.freshet', 'cache'))
  await writeWorld(dir, 3)
  const args = ['evaluate', '--events', dir, '--days', '2', '--seeds', '1', '--rank-with', 'pods']
  const set = [...worldSettings, ...settings].flatMap((setting) => ['--set', setting])
  const child = spawn(process.execPath, [bin, ...args, '--json', json, ...set], {
    cwd: dir,
    env: { ...cleanEnvironment(), TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
    for (const name of await readdir(temporary)) await endOrphans(path.join(temporary, name, 'run'))
  })
  const printed = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    const isFirst = !printed.stderr.includes('training')
    printed.stderr += text
    if (isFirst && printed.stderr.includes('training')) onTraining?.({ child, temporary })
  })
  const ended = new Promise<typeof printed & { readonly code: number | null }>((resolve) => {
    child.once('close', (code) => resolve({ code, ...printed }))
  })
  return { ended, temporary, json }
}
