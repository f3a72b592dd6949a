import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { ModelSpec } from '../../../src/model/spec.ts'
import { encodeIds } from '../../../src/records/id-file.ts'
import { encodeSafetensors, parseSafetensors } from '../../../src/records/safetensors.ts'
import type { Tensor } from '../../../src/records/safetensors.ts'
import { openDirectoryStore, sha256Of } from '../../../src/runtime/generation/artifact-store.ts'
import {
  bootstrapGeneration,
  fullStateOf,
  generationOf,
  listGenerations,
  loadGeneration,
  removeGeneration,
  verifyGeneration,
  writeGeneration,
} from '../../../src/runtime/generation/generation.ts'
import { recentFile } from '../../../src/runtime/generation/files.ts'
import type { TrainableGeneration } from '../../../src/runtime/generation/generation.ts'
import { generationManifestJsonSchema } from '../../../src/runtime/generation/manifest.ts'
import type { GenerationManifest } from '../../../src/runtime/generation/manifest.ts'
import { copyTrained } from '../../../src/streams/full-update-dense.ts'

const model: ModelSpec = {
  dim: 4,
  outputDim: 4,
  temperature: 0.2,
  user: {
    hidden: [3],
    features: [{ kind: 'numeric', name: 'age', transform: 'log1p', mean: 3, deviation: 1 }],
  },
  item: {
    hidden: [2],
    features: [{ kind: 'categorical', name: 'genre', buckets: 8, dim: 2 }],
  },
}

async function folder() {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-test-'))
  onTestFinished(() => fs.rm(dir, { recursive: true }))
  return {
    dir,
    store: openDirectoryStore(dir),
    file: (name: string) => path.join(dir, 'generations/g1', name),
  }
}

const deep: ModelSpec = {
  ...{ ...model, outputDim: 3 },
  user: { ...model.user, hidden: [3, 5] },
  item: { ...model.item, hidden: [2, 4, 3] },
}

function trained(spec = model): TrainableGeneration {
  const start = bootstrapGeneration('g1', spec, 17, 1_000)
  return {
    ...start,
    ...{ kind: 'full', parent: 'g0', day: '2026-01-02', seed: null },
    cuts: { examples: [7, 0], items: [3] },
    training: { examples: 10, steps: 2, batch: 5, seconds: 0.5, loss: 1.5 },
    gate: { verdict: 'passed', why: 'better', examples: 2, difference: 0.1, interval: [0, 0.2] },
    userIds: ['u1', 'u2', 'ü'],
    userRows: Float32Array.from({ length: 12 }, (_, i) => i),
    userSeenMs: Float64Array.of(1.7e12, 0, 1.8e12),
    itemIds: ['i1', 'i2'],
    itemRows: Float32Array.from({ length: 8 }, (_, i) => -i),
    itemSeenMs: Float64Array.of(0, 1.8e12),
    itemVectors: Float32Array.of(1, 0, 0, 0, 0, 0.6, 0.8, 0),
    recent: clicks([2, 0, 1], [1, 0, 1]),
    optimiser: {
      userDefaultAccumulator: 0.1,
      itemDefaultAccumulator: 0.2,
      userAccumulators: Float32Array.of(1, 2, 3),
      itemAccumulators: Float32Array.of(4, 5),
      adam: { steps: 9, first: copyTrained(start.dense), second: copyTrained(start.dense) },
      frequency: {
        examples: 40,
        lastSeen: Float64Array.of(39, 0),
        gap: Float64Array.of(2.5, 0),
        gaps: Float64Array.of(1, 0),
      },
    },
  }
}

test('running statistics and what the log says of items are part of it', async () => {
  const { store } = await folder()
  const running = { kind: 'numeric', transform: 'none', mean: null, deviation: null } as const
  const features = [{ ...running, name: 'freshet.age_hours' }]
  const own = {
    ...model,
    popularityHalfLifeHours: 12,
    user: { hidden: [3], features: [{ ...running, name: 'age' }] },
    item: { hidden: [2], features },
  }
  const { optimiser, ...rest } = trained()
  const start = bootstrapGeneration('g1', own, 17, 1_000)
  start.dense.user.statistics['age']!.set([7, 0.5, 0.25])
  start.dense.item.statistics['freshet.age_hours']!.set([1_000_000, 3, 4])
  const columns = ['firstMs', 'hours', 'before', 'within'].map((column, i) => [
    column,
    Float64Array.of(1.7e12 + i, 0),
  ])
  const itemActivity = Object.fromEntries(columns) as TrainableGeneration['itemActivity']
  const moments = { first: copyTrained(start.dense), second: copyTrained(start.dense) }
  const withNumbers: TrainableGeneration = {
    ...{ ...rest, model: own, dense: start.dense, itemActivity },
    optimiser: { ...optimiser, adam: { steps: 9, ...moments } },
  }
  await writeGeneration(store, withNumbers)
  expect(await loadGeneration(store, 'g1', { for: 'training' })).toEqual(withNumbers)
})

function clicks(counts: readonly number[], items: readonly number[]) {
  const timesMs = Float64Array.from(items, (_, i) => 1.8e12 - i)
  return { counts: Uint32Array.from(counts), items: Uint32Array.from(items), timesMs }
}

test('a generation comes back as it was written', async () => {
  const { store } = await folder()
  await writeGeneration(store, trained())
  expect(await loadGeneration(store, 'g1', { for: 'training' })).toEqual(trained())
  const { optimiser: _, ...learnt } = trained()
  expect(await loadGeneration(store, 'g1', { for: 'learning' })).toEqual(learnt)
  const {
    userIds: _u,
    userRows: _r,
    userSeenMs: _s,
    itemRows: _i,
    itemSeenMs: _t,
    recent: _c,
    itemActivity: _a,
    ...served
  } = learnt
  expect(await loadGeneration(store, 'g1', { for: 'serving' })).toEqual(served)
})

test('towers of several layers with vectors of another width come back as they were written', async () => {
  const { store, file } = await folder()
  const generation = { ...trained(deep), itemVectors: Float32Array.of(1, 0, 0, 0, 0.6, 0.8) }
  await writeGeneration(store, generation)
  await verifyGeneration(store, 'g1')
  expect(await loadGeneration(store, 'g1', { for: 'training' })).toEqual(generation)
  const { model: written } = JSON.parse(
    await fs.readFile(file('manifest.json'), 'utf8'),
  ) as GenerationManifest
  expect(written).toMatchObject({ outputDim: 3, item: { hidden: [2, 4, 3] } })
  const { tensors } = parseSafetensors(await fs.readFile(file('dense.safetensors')))
  expect(tensors.get('item.hidden_weights_3')!.shape).toEqual([4, 3])
  expect(tensors.get('item.output_weights')!.shape).toEqual([3, 3])
  expect(tensors.get('user.shortcut')!.shape).toEqual([4, 3])
  expect(tensors.get('user.default_row')!.shape).toEqual([4])
})

test('one hidden layer and vectors as wide as rows are written as they were before there was a choice', async () => {
  const { store, file } = await folder()
  await writeGeneration(store, bootstrapGeneration('g1', model, 17, 1_000))
  const written = JSON.parse(await fs.readFile(file('manifest.json'), 'utf8')) as {
    model: unknown
  }
  expect(written.model).toEqual({
    ...{ dim: 4, temperature: 0.2 },
    user: { ...model.user, hidden: 3 },
    item: { ...model.item, hidden: 2 },
  })
  const { tensors } = parseSafetensors(await fs.readFile(file('dense.safetensors')))
  const names = ['projection', 'hidden_weights', 'hidden_bias', 'output_weights', 'output_bias']
  expect([...tensors.keys()].sort()).toEqual(
    [
      ...['user', 'item'].flatMap((side) =>
        [...names, 'default_row'].map((name) => `${side}.${name}`),
      ),
      'item.embedding.genre',
    ].sort(),
  )
  expect((await loadGeneration(store, 'g1')).model).toEqual(model)
})

test('what a full update starts from goes through a generation unchanged', () => {
  const generation = trained()
  expect(generationOf(generation, fullStateOf(generation), generation.itemVectors)).toEqual(
    generation,
  )
})

test('only what a use needs has to be there, and verifying needs everything', async () => {
  const { store, file } = await folder()
  await writeGeneration(store, trained())
  await verifyGeneration(store, 'g1')
  await fs.rm(file('user-tower.onnx'))
  await expect(verifyGeneration(store, 'g1')).rejects.toThrow('Generation g1, user-tower.onnx: ')
  await fs.rm(file('optimiser.safetensors'))
  await loadGeneration(store, 'g1')
  await expect(loadGeneration(store, 'g1', { for: 'training' })).rejects.toThrow('optimiser')
  await fs.rm(file('user-rows.safetensors'))
  await loadGeneration(store, 'g1', { for: 'serving' })
  await expect(loadGeneration(store, 'g1')).rejects.toThrow('user-rows.safetensors')
})

test('a generation that is removed is gone with its folder', async () => {
  const { dir, store } = await folder()
  await writeGeneration(store, trained())
  expect(await store.bytes('generations/g1')).toBeGreaterThan(1_000)
  await removeGeneration(store, 'g1')
  expect(await listGenerations(store)).toEqual([])
  expect(await fs.readdir(path.join(dir, 'generations'))).toEqual([])
  expect(await store.bytes('generations/g1')).toBe(0)
  await removeGeneration(store, 'g1')
  await expect(store.remove('.')).rejects.toMatchObject({ code: 'FILE_INVALID' })
})

test('a bootstrap generation says that it is random, and the same seed gives the same files', async () => {
  const [one, two] = [await folder(), await folder()]
  const manifest = await writeGeneration(one.store, bootstrapGeneration('g1', model, 17, 1_000))
  expect([manifest.kind, manifest.seed, manifest.parent]).toEqual(['bootstrap', 17, null])
  expect(await writeGeneration(two.store, bootstrapGeneration('g1', model, 17, 1_000))).toEqual(
    manifest,
  )
  expect((await loadGeneration(one.store, 'g1')).userDefaultRow).toHaveLength(4)
  const other = await writeGeneration(one.store, bootstrapGeneration('g2', model, 18, 1_000))
  expect(other.files['dense.safetensors']).not.toEqual(manifest.files['dense.safetensors'])
  expect(await listGenerations(one.store)).toEqual(['g1', 'g2'])
})

test('a generation is never written over, and an unfinished one is none', async () => {
  const { store, file } = await folder()
  await writeGeneration(store, trained())
  await expect(writeGeneration(store, trained())).rejects.toThrow('never change')
  await fs.rm(file('manifest.json'))
  expect(await listGenerations(store)).toEqual([])
  await expect(loadGeneration(store, 'g1')).rejects.toMatchObject({ code: 'GENERATION_INVALID' })
  await writeGeneration(store, trained())
  expect(await fs.readdir(path.dirname(file('x')))).toHaveLength(11)
})

type Damage = (at: { file: (name: string) => string }) => Promise<void>

/** Replaces a file and corrects the manifest, as somebody who makes generations with other tools would. */
function replaced(name: string, parts: Uint8Array[]): Damage {
  return async ({ file }) => {
    const bytes = Buffer.concat(parts)
    await fs.writeFile(file(name), bytes)
    const manifest = JSON.parse(
      await fs.readFile(file('manifest.json'), 'utf8'),
    ) as GenerationManifest
    manifest.files[name] = { bytes: bytes.length, sha256: sha256Of(bytes) }
    await fs.writeFile(file('manifest.json'), JSON.stringify(manifest))
  }
}

function edited(edit: (manifest: Record<string, unknown>) => void): Damage {
  return async ({ file }) => {
    const manifest = JSON.parse(await fs.readFile(file('manifest.json'), 'utf8')) as Record<
      string,
      unknown
    >
    edit(manifest)
    await fs.writeFile(file('manifest.json'), JSON.stringify(manifest))
  }
}

const tensors = (entries: Record<string, Tensor>) =>
  encodeSafetensors(new Map(Object.entries(entries)))
const filled = (count: number, fill = 0, dim = 4): Tensor => ({
  shape: [count, dim],
  data: new Float32Array(count * dim).fill(fill),
})
const rows = (count: number, fill = 0, dim = 4) => ({
  rows: filled(count, fill, dim),
  seen_ms: { shape: [count], data: new Float64Array(count) },
})

const damages: [string, Damage, string][] = [
  [
    'a flipped bit',
    async ({ file }) => {
      const bytes = await fs.readFile(file('user-rows.safetensors'))
      bytes[bytes.length - 3]! ^= 16
      await fs.writeFile(file('user-rows.safetensors'), bytes)
    },
    'user-rows.safetensors: its sha256',
  ],
  [
    'a file cut off',
    ({ file }) => fs.truncate(file('item-ids.avro'), 9),
    'item-ids.avro: it has 9 bytes',
  ],
  ['a file gone', ({ file }) => fs.rm(file('dense.safetensors')), 'dense.safetensors: '],
  [
    'a file not listed',
    edited((m) => delete (m['files'] as Record<string, unknown>)['dense.safetensors']),
    'dense.safetensors: the manifest does not list it',
  ],
  [
    'a manifest that is no JSON',
    ({ file }) => fs.writeFile(file('manifest.json'), '{'),
    'manifest.json: ',
  ],
  [
    'a time that is no number',
    replaced(
      'item-rows.safetensors',
      tensors({ ...rows(2), seen_ms: { shape: [2], data: Float64Array.of(1, NaN) } }),
    ),
    'item-rows.safetensors: tensor seen_ms holds NaN at element 1',
  ],
  [
    'no optimiser state',
    replaced('optimiser.safetensors', tensors({})),
    'optimiser.safetensors: tensor adam.first.user.projection is missing',
  ],
  [
    'a tower that somebody changed',
    ({ file }) => fs.appendFile(file('item-tower.onnx'), ' '),
    'item-tower.onnx: it has ',
  ],
  ['an unknown field', edited((m) => (m['extra'] = 1)), 'manifest.json: top: '],
  ['a later format', edited((m) => (m['format'] = 3)), 'manifest.json: format: '],
  [
    'the manifest of another',
    edited((m) => (m['id'] = 'g2')),
    'manifest.json: it belongs to generation g2',
  ],
  [
    'a row too few',
    replaced('user-rows.safetensors', tensors(rows(2))),
    'user-rows.safetensors: tensor rows is 2 x 4, the model needs 3 x 4',
  ],
  [
    'rows of another width',
    replaced('item-rows.safetensors', tensors(rows(2, 0, 5))),
    'item-rows.safetensors: tensor rows is 2 x 5',
  ],
  [
    'a value that is no number',
    replaced('item-rows.safetensors', tensors(rows(2, NaN))),
    'item-rows.safetensors: tensor rows holds NaN at element 0',
  ],
  [
    'an infinite value',
    replaced('user-rows.safetensors', tensors(rows(3, Infinity))),
    'user-rows.safetensors: tensor rows holds Infinity',
  ],
  [
    'vectors of another width',
    replaced('item-vectors.safetensors', tensors({ vectors: filled(2, 0.5, 5) })),
    'item-vectors.safetensors: tensor vectors is 2 x 5, the model needs 2 x 4',
  ],
  [
    'a tower without a layer',
    edited((m) => (m['model'] = { ...model, user: { features: [], hidden: [] } })),
    'manifest.json: model.user.hidden: ',
  ],
  [
    'a vector that is not normalised',
    replaced('item-vectors.safetensors', tensors({ vectors: filled(2, 0.7) })),
    'item-vectors.safetensors: vector 0 has length 1.39',
  ],
  [
    'a tensor of another type',
    replaced(
      'user-rows.safetensors',
      tensors({ ...rows(3), rows: { shape: [3, 4], data: new Float64Array(12) } }),
    ),
    'user-rows.safetensors: tensor rows is not F32',
  ],
  [
    'a tensor missing',
    replaced('dense.safetensors', tensors({})),
    'dense.safetensors: tensor user.projection is missing',
  ],
  [
    'a tensor too many',
    replaced('user-rows.safetensors', tensors({ ...rows(3), more: filled(1) })),
    'user-rows.safetensors: tensor more is not part of the model',
  ],
  [
    'an id too few',
    replaced('user-ids.avro', encodeIds('UserId', ['u1'])),
    'user-ids.avro: it holds 1 ids, the manifest says 3',
  ],
  [
    'an id twice',
    replaced('item-ids.avro', encodeIds('ItemId', ['i1', 'i1'])),
    'item-ids.avro: id i1 is in it twice',
  ],
  [
    'a count of clicks that is not kept',
    replaced(
      'user-recent.safetensors',
      encodeSafetensors(recentFile(clicks([2, 1, 1], [1, 0, 1]))),
    ),
    'user-recent.safetensors: its counts add up to 4, it holds 3 clicks',
  ],
  [
    'a click on no item',
    replaced(
      'user-recent.safetensors',
      encodeSafetensors(recentFile(clicks([2, 0, 1], [1, 2, 0]))),
    ),
    'user-recent.safetensors: it names item 2 of 2',
  ],
  [
    'users for items',
    replaced('item-ids.avro', encodeIds('UserId', ['i1', 'i2'])),
    'item-ids.avro: ',
  ],
]

test.each(damages)('%s is found, and named', async (_, damage, message) => {
  const place = await folder()
  await writeGeneration(place.store, trained())
  await damage(place)
  await expect(verifyGeneration(place.store, 'g1')).rejects.toMatchObject({
    code: 'GENERATION_INVALID',
    message: expect.stringContaining(`Generation g1, ${message}`) as string,
  })
})

test('no id or name leads out of the store', async () => {
  const { store } = await folder()
  await expect(loadGeneration(store, '../g1')).rejects.toThrow('may hold letters')
  await expect(store.put('../x', [])).rejects.toMatchObject({ code: 'FILE_INVALID' })
})

test('the form of a manifest can be published as JSON Schema', () => {
  expect(generationManifestJsonSchema()).toMatchObject({
    type: 'object',
    required: expect.arrayContaining(['id', 'model', 'files']) as string[],
  })
})
