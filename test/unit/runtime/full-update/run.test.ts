import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { fullUpdateJob } from '../../../../src/runtime/full-update/job.ts'
import type {
  FullUpdateHooks,
  FullUpdateJob,
  FullUpdateProgress,
} from '../../../../src/runtime/full-update/job.ts'
import { runFullUpdate } from '../../../../src/runtime/full-update/run.ts'
import { openDirectoryStore } from '../../../../src/runtime/generation/artifact-store.ts'
import {
  loadGeneration,
  loadManifest,
  writeGeneration,
} from '../../../../src/runtime/generation/generation.ts'
import { zerosLike } from '../../../../src/streams/full-update-dense.ts'
import { archivedDays, tensorFiles } from '../../../support/archived-days.ts'
import { asOpaque, type OpaqueSides } from '../../../support/opaque.ts'
import { silentLog, temporaryDir } from '../../../support/own-servers.ts'

const noSignal = new AbortController().signal
const quiet = { onProgress: () => undefined, signal: noSignal }

async function rig(change: Partial<FullUpdateJob['full']> = {}) {
  const dir = await temporaryDir(onTestFinished)
  const { config, days } = await archivedDays(dir)
  const jobOf = (day: string, parent: string): FullUpdateJob => {
    const cuts = { examples: [1, 2], items: [3] }
    const job = fullUpdateJob(config, { day, parent, cuts })
    return { ...job, full: { ...job.full, ...change } }
  }
  return { dir, config, days, jobOf, store: openDirectoryStore(config.artifacts.dir) }
}

test('a day becomes a generation, and the next day goes on from it', async () => {
  const { days, jobOf, store } = await rig()
  const job = jobOf(days[0]!, 'start')
  const told: FullUpdateProgress[] = []
  const hooks = { ...quiet, onProgress: (progress: FullUpdateProgress) => void told.push(progress) }
  const outcome = await runFullUpdate(job, hooks, silentLog)
  expect(outcome).toMatchObject({ generation: job.generation, examples: 1_200 })
  const manifest = await loadManifest(store, job.generation)
  expect(manifest).toMatchObject({
    ...{ kind: 'full', parent: 'start', day: days[0], cuts: job.cuts },
    training: { examples: 1_200, batch: 32, steps: Math.ceil(1_200 / 32) },
    lineage: { steps: Math.ceil(1_200 / 32), examples: 1_200 },
    gate: { verdict: outcome.verdict, why: outcome.why },
  })
  expect(told[0]).toEqual({ share: 0, etaMs: null, examples: 0 })

  const first = await loadGeneration(store, job.generation, { for: 'training' })
  const start = await loadGeneration(store, 'start')
  expect(first.userIds.length).toBe(60)
  expect(first.itemIds.length).toBe(40)
  expect(first.dense.user.tensors).not.toEqual(start.dense.user.tensors)
  expect(first.userDefaultRow).not.toEqual(start.userDefaultRow)
  expect(Math.min(...first.userSeenMs)).toBeGreaterThanOrEqual(Date.parse(days[0]!))

  const next = await runFullUpdate(jobOf(days[1]!, job.generation), quiet, silentLog)
  const second = await loadManifest(store, next.generation)
  expect(second.lineage).toEqual({ steps: 2 * Math.ceil(1_200 / 32), examples: 2_400 })
  expect(second.training!.loss).toBeLessThan(manifest.training!.loss)
})

test('a generation that is there already is checked and returned', async () => {
  const { days, jobOf, store, dir } = await rig()
  const job = jobOf(days[0]!, 'start')
  const outcome = await runFullUpdate(job, quiet, silentLog)
  const before = await loadManifest(store, job.generation)
  expect(await runFullUpdate(job, quiet, silentLog)).toEqual(outcome)
  expect(await loadManifest(store, job.generation)).toEqual(before)
  const file = path.join(dir, 'artifacts/generations', job.generation, 'user-rows.safetensors')
  await fs.truncate(file, 10)
  await expect(runFullUpdate(job, quiet, silentLog)).rejects.toMatchObject({
    code: 'GENERATION_INVALID',
    message: expect.stringMatching(/user-rows.*remove .*to have it made again/) as string,
  })
})

test('stopped and gone on with, also past a damaged checkpoint, it gives the same bytes', async () => {
  const undisturbed = await rig()
  const job = undisturbed.jobOf(undisturbed.days[0]!, 'start')
  await runFullUpdate(job, quiet, silentLog)
  const wanted = await tensorFiles(undisturbed.dir, job.generation)
  expect(Object.keys(wanted)).toHaveLength(10)

  const { dir, days, jobOf } = await rig()
  const stopped = jobOf(days[0]!, 'start')
  for (const damage of [false, true]) {
    const stop = new AbortController()
    const hooks = { onProgress: () => stop.abort(), signal: stop.signal }
    const run = runFullUpdate(stopped, hooks, silentLog)
    await expect(run).rejects.toMatchObject({ code: 'ABORTED' })
    const checkpoints = path.join(dir, 'state/full-update', days[0]!, 'checkpoints')
    const names = (await fs.readdir(checkpoints)).sort()
    expect(names.map((name) => Number.parseInt(name))).toEqual(damage ? [512, 1_024] : [512])
    if (damage) await fs.truncate(path.join(checkpoints, names.at(-1)!), 100)
  }
  await runFullUpdate(stopped, quiet, silentLog)
  expect(await tensorFiles(dir, stopped.generation)).toEqual(wanted)
  expect(await fs.readdir(path.join(dir, 'state/full-update'))).toEqual([])
})

test('from opaque towers ID rows go on, with the same graphs; without a gradient graph it is refused', async () => {
  const { days, jobOf, store } = await rig()
  const start = await loadGeneration(store, 'start', { for: 'training' })
  const write = async (id: string, how: OpaqueSides) => {
    const { model, dense } = asOpaque(start.model, start.dense, how)
    const adam = { steps: 0, first: zerosLike(dense), second: zerosLike(dense) }
    const optimiser = { ...start.optimiser, adam }
    await writeGeneration(store, { ...start, id, kind: 'imported', model, dense, optimiser })
    return loadGeneration(store, id)
  }
  const run = (parent: string, hooks: FullUpdateHooks = quiet) =>
    runFullUpdate({ ...jobOf(days[0]!, parent), engine: 'onnx' }, hooks, silentLog)
  const parent = await write('theirs', { user: 'learning', item: 'learning' })
  const stop = new AbortController()
  const stopping = { onProgress: () => stop.abort(), signal: stop.signal }
  await expect(run('theirs', stopping)).rejects.toMatchObject({ code: 'ABORTED' })
  const { generation } = await run('theirs')
  const trained = await loadGeneration(store, generation, { for: 'training' })
  expect(trained.model).toEqual(parent.model)
  expect(trained.dense).toEqual(parent.dense)
  expect(trained.userIds.length).toBe(60)
  expect(trained.userDefaultRow).not.toEqual(start.userDefaultRow)

  await write('frozen', { user: 'frozen', item: 'frozen' })
  await expect(run('frozen')).rejects.toMatchObject({
    code: 'GENERATION_FROZEN',
    message: expect.stringContaining('Generation frozen has towers that are ONNX graphs') as string,
  })
})

test('a day that is not there, or not sealed, and a parent that knows the day are refused', async () => {
  const { days, jobOf, store } = await rig()
  const run = (day: string, parent: string) => runFullUpdate(jobOf(day, parent), quiet, silentLog)
  await expect(run('2025-01-01', 'start')).rejects.toThrow(
    `day 2025-01-01 is not in the archive, which has ${days[0]!} to ${days[1]!}`,
  )
  await expect(run(days[0]!, 'nobody')).rejects.toThrow('Generation nobody, manifest.json')
  const { generation } = await run(days[1]!, 'start')
  await expect(run(days[0]!, generation)).rejects.toThrow(`has learnt ${days[1]!} already`)
  await store.remove(`archive/day=${days[0]!}/day.json`)
  await expect(run(days[0]!, 'start')).rejects.toThrow('is not sealed yet')
})
