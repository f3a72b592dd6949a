import { spawn } from 'node:child_process'
import fs from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import type { ListedGeneration } from '../../src/cli/generations.ts'
import { fullGenerationId } from '../../src/runtime/full-update/job.ts'
import { archivedDays, tensorFiles } from '../support/archived-days.ts'
import { temporaryDir } from '../support/own-servers.ts'
import { runCommand } from '../support/role-process.ts'

/** Nobody listens there: these commands work from files alone. */
const noKafka = ['--set', 'kafka.brokers=["127.0.0.1:1"]']
const mainFile = path.resolve(import.meta.dirname, '../../dist/main.js')

async function rig(options: Parameters<typeof archivedDays>[1] = {}) {
  const dir = await temporaryDir(onTestFinished)
  const { config, days } = await archivedDays(dir, options)
  const file = path.join(dir, 'config.yaml')
  await fs.writeFile(file, JSON.stringify(config))
  const args = ['--config', file, ...noKafka]
  const freshet = (...words: string[]) => runCommand([...words, ...args], { dir })
  return { dir, days, args, freshet }
}

test('days are trained from files alone, one from the other, and listed', async () => {
  const { days, freshet } = await rig()
  const first = fullGenerationId(days[0]!, 'start')
  const second = fullGenerationId(days[1]!, first)
  const one = await freshet('full-update', '--day', days[0]!)
  expect(one).toMatchObject({ code: 0 })
  expect(one.stdout).toContain(`${first} is in `)
  expect(one.stdout).toContain('1,200 examples in 38 steps of 32')
  const two = await freshet('full-update', '--day', days[1]!)
  expect(two.stdout).toContain(`${days[1]!}, from ${first}`)

  const listed = await freshet('generations', '--json')
  const { generations, controlProblem } = JSON.parse(listed.stdout) as {
    generations: ListedGeneration[]
    controlProblem: string
  }
  expect(controlProblem).toContain('127.0.0.1:1 does not answer')
  expect(generations.map(({ id, state }) => [id, state])).toEqual([
    ['start', null],
    [first, null],
    [second, null],
  ])
  expect(generations[2]!.manifest).toMatchObject({ parent: first, training: { examples: 1_200 } })
  const { stdout } = await freshet('generations')
  expect(stdout).toMatch(new RegExp(`${second} +${days[1]!} +- +1,200 +\\d\\.\\d{3} +ungated`))
  expect(stdout).toContain('note: states are not known: Kafka at 127.0.0.1:1 does not answer')
})

test('what cannot be trained is refused with what could be', async () => {
  const { dir, days, freshet } = await rig()
  const refusals = [
    [['full-update', '--day', '2025-01-01'], 'no day 2025-01-01, it has 2 days'],
    [['full-update', '--day', days[0]!, '--parent', 'strat'], 'did you mean start?'],
    [['full-update', '--day', '2026-02-30'], 'It must be a day'],
    [['bootstrap', '--days', '2025-01-01..2025-02-01'], 'no examples from 2025-01-01'],
    [['bootstrap', '--days', `${days[1]!}..${days[0]!}`], 'The first day is after the last'],
  ] as const
  const results = await Promise.all(refusals.map(([args]) => freshet(...args)))
  results.forEach(({ code, stdout, stderr }, i) => {
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(refusals[i]![1])
  })
  await fs.rm(path.join(dir, `artifacts/archive/day=${days[0]!}/day.json`))
  const { code, stderr } = await freshet('full-update', '--day', days[0]!)
  expect(code).toBe(2)
  expect(stderr).toContain('is not sealed')
})

test('a cold start passes over each day once, and leaves the last generation', async () => {
  const { dir, days, freshet } = await rig({ count: 3, examples: 400 })
  const { code, stdout } = await freshet('bootstrap', '--days', `${days[0]!}..${days[2]!}`)
  expect(code).toBe(0)
  const names = await fs.readdir(path.join(dir, 'artifacts/generations'))
  expect(names).toHaveLength(2)
  const made = names.find((name) => name !== 'start')!
  expect(stdout).toContain(`${made} is in `)
  const again = await freshet('bootstrap', '--days', `${days[0]!}..${days[2]!}`)
  expect(again.stdout).toBe(stdout)
})

test('killed again and again it makes the same generation to the byte', async () => {
  const examples = 12_000
  const undisturbed = await rig({ count: 1, examples })
  const day = undisturbed.days[0]!
  const id = fullGenerationId(day, 'start')
  expect((await undisturbed.freshet('full-update', '--day', day)).code).toBe(0)

  const killed = await rig({ count: 1, examples })
  const often = ['--set', 'full.checkpointMs=1']
  const checkpoints = path.join(killed.dir, 'state/full-update', day, 'checkpoints')
  for (const trained of [1, 2_500, 5_000]) {
    const args = ['full-update', '--day', day, ...killed.args, ...often]
    await killAt(args, killed.dir, async () => (await furthest(checkpoints)) >= trained)
  }
  const last = await killed.freshet('full-update', '--day', day, ...often)
  expect(last.stderr).toContain('goes on from a checkpoint')
  expect(await tensorFiles(killed.dir, id)).toEqual(await tensorFiles(undisturbed.dir, id))
})

/** Runs `freshet <arguments>` until it is time, then ends it with SIGKILL. */
async function killAt(
  args: readonly string[],
  cwd: string,
  isTime: () => Promise<boolean>,
): Promise<void> {
  const child = spawn(process.execPath, [mainFile, ...args], { cwd, stdio: 'ignore' })
  const ended = new Promise<NodeJS.Signals | null>((resolve) =>
    child.once('exit', (_, signal) => resolve(signal)),
  )
  const deadline = performance.now() + 20_000
  while (!(await isTime()) && child.exitCode === null && performance.now() < deadline) {
    await sleep(2)
  }
  child.kill('SIGKILL')
  expect(await ended).toBe('SIGKILL')
}

/** Examples in the newest checkpoint. */
async function furthest(dir: string): Promise<number> {
  const names = await fs.readdir(dir).catch(() => [])
  const whole = names.filter((name) => name.endsWith('.safetensors'))
  return Math.max(0, ...whole.map((name) => Number.parseInt(name)))
}
