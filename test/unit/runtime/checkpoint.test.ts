import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { configSchema } from '../../../src/config/schema.ts'
import { packState, unpackState } from '../../../src/runtime/checkpoint-state.ts'
import { CheckpointStore } from '../../../src/runtime/checkpoint.ts'
import { learnerOptions } from '../../../src/runtime/learner-state.ts'
import type { Logger } from '../../../src/runtime/ports.ts'
import type { LearnerSnapshot } from '../../../src/streams/learner-types.ts'

const options = learnerOptions(configSchema.parse({}).learner)

/** Not a learner's state, but one with everything that a learner's may hold. */
const state = (n: number) => ({
  n,
  rows: Float32Array.of(n, -0, NaN, Infinity),
  times: new Float64Array(0),
  slots: Uint32Array.of(1, 2 ** 32 - 1),
  bits: Uint8Array.of(7),
  ids: ['', 'ä', '😀', '__proto__'],
  none: [],
  recent: [['a', 'b'], [], ['b']],
  intervals: [
    [1, [['x', 2]]],
    [2, []],
  ],
  nothing: null,
  nested: { yes: true, text: 'x' },
})

async function folder() {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-test-'))
  onTestFinished(() => fs.rm(dir, { recursive: true }))
  const errors: string[] = []
  const log = {
    error: (fields: { error: string }, message: string) =>
      void errors.push(`${message}: ${fields.error}`),
  } as unknown as Logger
  const store = (generation = 'g') => new CheckpointStore(dir, generation, log)
  const checkpoint = (n: number, segment = 1) => ({
    position: { segment, bytes: n },
    options,
    snapshot: state(n) as unknown as LearnerSnapshot,
  })
  const names = async () => (await fs.readdir(dir)).sort()
  return { dir, errors, store, checkpoint, names }
}

const always = () => true

test('a state comes back with its types and bits', () => {
  const packed = packState(state(1))
  const back = unpackState(packed)
  expect(back).toEqual(state(1))
  expect(Object.is((back as ReturnType<typeof state>).rows[1], -0)).toBe(true)
})

test('the newest checkpoint comes back, and two are kept', async () => {
  const { store, checkpoint, names } = await folder()
  const writer = store()
  for (const n of [1, 2, 3]) await writer.write(checkpoint(n))
  expect(await store().newest(always)).toEqual(checkpoint(3))
  expect(await names()).toHaveLength(2)
  await store().write(checkpoint(4, 2))
  expect(await store().newest(always)).toEqual(checkpoint(4, 2))
})

test('without a checkpoint there is none', async () => {
  const { store } = await folder()
  expect(await store().newest(always)).toBeNull()
})

const damages: [string, (dir: string) => Promise<void>, string][] = [
  ['a flipped bit', (dir) => flip(path.join(dir, 'state.safetensors')), 'its sha256'],
  [
    'a file cut off',
    (dir) => fs.truncate(path.join(dir, 'state.json'), 5),
    'state.json has 5 bytes',
  ],
  ['a file gone', (dir) => fs.rm(path.join(dir, 'state.json')), 'cannot be opened'],
  ['no manifest', (dir) => fs.rm(path.join(dir, 'manifest.json')), 'cannot be opened'],
  [
    'a manifest of something else',
    (dir) => fs.writeFile(path.join(dir, 'manifest.json'), '{}'),
    'manifest.json',
  ],
]

async function flip(file: string): Promise<void> {
  const bytes = await fs.readFile(file)
  bytes[bytes.length - 1]! ^= 1
  await fs.writeFile(file, bytes)
}

test.each(damages)('with %s the one before is used, and that is said', async (_, damage, why) => {
  const { dir, store, checkpoint, names, errors } = await folder()
  const writer = store()
  await writer.write(checkpoint(1))
  await writer.write(checkpoint(2))
  await damage(path.join(dir, (await names())[1]!))
  expect(await store().newest(always)).toEqual(checkpoint(1))
  expect(errors).toEqual([expect.stringContaining(why)])
})

test('a checkpoint beyond the cut log, or of another generation, is passed over', async () => {
  const { store, checkpoint, errors } = await folder()
  const writer = store()
  await writer.write(checkpoint(1))
  await writer.write(checkpoint(2))
  expect(await store().newest(({ bytes }) => bytes < 2)).toEqual(checkpoint(1))
  expect(await store('other').newest(always)).toBeNull()
  expect(errors).toHaveLength(3)
})

test('what a crash left half-written is not a checkpoint', async () => {
  const { dir, store, checkpoint } = await folder()
  await store().write(checkpoint(1))
  await fs.mkdir(path.join(dir, 'checkpoint-00000001-00000002.tmp'))
  expect(await store().newest(always)).toEqual(checkpoint(1))
})
