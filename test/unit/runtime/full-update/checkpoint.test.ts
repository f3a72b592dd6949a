import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { FullUpdateCheckpoints } from '../../../../src/runtime/full-update/checkpoint.ts'
import type { Logger } from '../../../../src/runtime/ports.ts'
import type { FullUpdateSnapshot } from '../../../../src/streams/full-update.ts'

async function rig() {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-test-'))
  onTestFinished(() => fs.rm(dir, { recursive: true, force: true }))
  const warnings: string[] = []
  const silent = () => undefined
  const log: Logger = {
    ...{ debug: silent, info: silent, error: silent },
    warn: (fields) => void warnings.push((fields as { error: string }).error),
    child: () => log,
  }
  return { dir, warnings, of: (key: string) => new FullUpdateCheckpoints(dir, key, log) }
}

/** What is stored is opaque here. */
const snapshot = (value: number) =>
  ({
    ids: ['a', 'ü'],
    rows: Float32Array.of(value, 2),
    counts: { steps: value },
  }) as unknown as FullUpdateSnapshot
const checkpoint = (trained: number) => ({
  ...{ snapshot: snapshot(trained), trained, spentMs: 10 * trained },
})

test('the furthest checkpoint comes back as it was written, and two are kept', async () => {
  const { dir, of } = await rig()
  const checkpoints = of('k')
  expect(await checkpoints.newest()).toBe(null)
  for (const trained of [5, 64, 128, 1_000]) await checkpoints.write(checkpoint(trained))
  expect(await checkpoints.newest()).toEqual(checkpoint(1_000))
  expect(await fs.readdir(dir)).toHaveLength(2)
})

test('a damaged checkpoint is passed over, and said', async () => {
  const { dir, of, warnings } = await rig()
  await of('k').write(checkpoint(64))
  await of('k').write(checkpoint(128))
  const newest = (await fs.readdir(dir)).sort().at(-1)!
  const bytes = await fs.readFile(path.join(dir, newest))
  bytes[bytes.length - 1]! ^= 1
  await fs.writeFile(path.join(dir, newest), bytes)
  expect(await of('k').newest()).toEqual(checkpoint(64))
  expect(warnings).toEqual([expect.stringContaining('sha256')])
})

test('a checkpoint made from other data or settings is of no use', async () => {
  const { of, warnings } = await rig()
  for (const trained of [64, 128]) await of('k').write(checkpoint(trained))
  expect(await of('other').newest()).toBe(null)
  expect(warnings).toEqual(Array(2).fill(expect.stringContaining('other data or settings')))
  for (const trained of [1, 2, 3]) await of('other').write(checkpoint(trained))
  expect(await of('other').newest()).toEqual(checkpoint(3))
})

test('what a kill in the middle of writing leaves is no checkpoint, and goes', async () => {
  const { dir, of } = await rig()
  await of('k').write(checkpoint(64))
  await fs.writeFile(path.join(dir, '4711.tmp'), 'half')
  expect(await of('k').newest()).toEqual(checkpoint(64))
  expect(await fs.readdir(dir)).toHaveLength(1)
})
