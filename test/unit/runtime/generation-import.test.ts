import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { encodeIds } from '../../../src/records/id-file.ts'
import { parseSafetensors } from '../../../src/records/safetensors.ts'
import { openEngine } from '../../../src/runtime/engines/index.ts'
import { openDirectoryStore } from '../../../src/runtime/generation/artifact-store.ts'
import { exportGeneration } from '../../../src/runtime/generation/export.ts'
import {
  bootstrapGeneration,
  loadGeneration,
  verifyGeneration,
  writeGeneration,
} from '../../../src/runtime/generation/generation.ts'
import { importGeneration } from '../../../src/runtime/generation/import.ts'
import { withItems } from '../../support/generations.ts'
import { fixtures, importFolder, importOptions } from '../../support/imports.ts'
import { randomFrom, unitVector } from '../../support/vectors.ts'

test('what PyTorch wrote becomes a generation that serves, learns and trains', async () => {
  const { store, take } = await importFolder(onTestFinished)
  const { generation, notes } = await take()
  expect(notes).toEqual([])
  expect(generation).toMatchObject({ kind: 'imported', day: '2026-01-02', parent: null })
  expect(generation.id).toMatch(/^imported-2026-01-02-[0-9a-f]{8}$/)
  expect(generation.model.user).toMatchObject({ hidden: [12, 10], shortcut: 'matrix' })
  await writeGeneration(store, generation)
  await verifyGeneration(store, generation.id)
  expect(await loadGeneration(store, generation.id, { for: 'training' })).toEqual(generation)
  const theirs = parseSafetensors(
    await fs.readFile(path.join(fixtures.generation, 'item-vectors.safetensors')),
  )
  const vectors = theirs.tensors.get('vectors')!.data
  generation.itemVectors.forEach((value, i) => expect(value).toBeCloseTo(vectors[i]!, 5))
  expect((await take()).generation.id).toBe(generation.id)
})

test('vectors are made where there are none, and taken where nothing can make them', async () => {
  const { file, take } = await importFolder(onTestFinished)
  const { generation } = await take()
  await fs.rename(file('item-vectors.safetensors'), file('away'))
  expect((await take()).generation.itemVectors).toEqual(generation.itemVectors)
  await fs.rm(file('item-features.safetensors'))
  await expect(take()).rejects.toThrow('item-features.safetensors: it is missing, and so is')
  await fs.rename(file('away'), file('item-vectors.safetensors'))
  const taken = await take()
  expect(taken.notes).toEqual([expect.stringContaining('taken as they are')])
  expect(taken.generation.itemIds).toEqual(generation.itemIds)
})

test('rows that are longer than the learner lets them be are told', async () => {
  const { take } = await importFolder(onTestFinished)
  const { notes } = await take({ rowNormMax: 0.5 })
  expect(notes.map((note) => note.slice(0, 9))).toEqual(['user rows', 'item rows'])
  expect(notes[0]).toContain('learner.rowNormMax 0.5')
})

const floats = (length: number, value = 0.5) => new Float32Array(length).fill(value)

test.each<[string, (rig: Awaited<ReturnType<typeof importFolder>>) => Promise<void>, string]>([
  ['no manifest', ({ file }) => fs.rm(file('manifest.json')), 'manifest.json: '],
  [
    'another format',
    ({ manifest }) => manifest((json) => Object.assign(json, { format: 1 })),
    'manifest.json: format: ',
  ],
  [
    'a feature that nobody has',
    ({ manifest }) =>
      manifest(({ model }) => {
        model.item.features[0]!.name = 'genre'
      }),
    'item feature genre is not known: model.item.features of the configuration has genres, year',
  ],
  [
    'fewer ids than the manifest says',
    ({ file }) => fs.writeFile(file('user-ids.avro'), Buffer.concat(encodeIds('UserId', ['a']))),
    'user-ids.avro: it holds 1 ids, the manifest says 5',
  ],
  [
    'an id twice',
    ({ file }) =>
      fs.writeFile(
        file('user-ids.avro'),
        Buffer.concat(encodeIds('UserId', ['a', 'b', 'c', 'd', 'a'])),
      ),
    'user-ids.avro: id a is in it twice',
  ],
  [
    'rows of another width',
    ({ tensors }) =>
      tensors('user-rows.safetensors', (all) =>
        all.set('rows', { shape: [5, 7], data: floats(35) }),
      ),
    'user-rows.safetensors: tensor rows is 5 x 7, the model needs 5 x 8',
  ],
  [
    'doubles',
    ({ tensors }) =>
      tensors('item-rows.safetensors', (all) =>
        all.set('rows', { shape: [6, 8], data: new Float64Array(48) }),
      ),
    'item-rows.safetensors: tensor rows is not F32',
  ],
  [
    'what is no number',
    ({ tensors }) =>
      tensors('item-rows.safetensors', (all) =>
        all.set('rows', { shape: [6, 8], data: floats(48, NaN) }),
      ),
    'item-rows.safetensors: tensor rows holds NaN at element 0',
  ],
  [
    'no default row',
    ({ tensors }) => tensors('dense.safetensors', (all) => void all.delete('user.default_row')),
    'dense.safetensors: tensor user.default_row is missing',
  ],
  [
    'no embeddings',
    ({ tensors }) =>
      tensors('dense.safetensors', (all) => void all.delete('item.embedding.genres')),
    'dense.safetensors: tensor item.embedding.genres is missing',
  ],
  [
    'vectors that are not of length 1',
    ({ tensors }) =>
      tensors('item-vectors.safetensors', (all) =>
        all.set('vectors', { shape: [6, 8], data: floats(48) }),
      ),
    'item-vectors.safetensors: vector 0 has length 1.41',
  ],
  [
    'vectors of another state of the model',
    ({ tensors }) =>
      tensors('item-rows.safetensors', (all) =>
        all.set('rows', { shape: [6, 8], data: floats(48) }),
      ),
    'with what the item tower makes of its row and features, less than 0.9999',
  ],
  [
    'a tower that is no ONNX file',
    ({ file }) => fs.writeFile(file('user-tower.onnx'), 'nonsense'),
    'user-tower.onnx: it is no ONNX file',
  ],
  [
    'a tower of other widths',
    ({ file }) => fs.cp(path.join(fixtures.folder, 'sigmoid.onnx'), file('user-tower.onnx')),
    'user-tower.onnx: its rows are 4 wide, the manifest says 8',
  ],
  [
    'a file that is not what the manifest says',
    ({ manifest }) => manifest((json) => Object.assign(json, { files: {} })),
    'the manifest does not list it',
  ],
])('refused: %s', async (_, damage, why) => {
  const rig = await importFolder(onTestFinished)
  await damage(rig)
  await expect(rig.take()).rejects.toThrow(why)
})

test('an exported generation is one that can be imported, with the same vectors', async () => {
  const { dir, store } = await importFolder(onTestFinished)
  const model = {
    ...{ dim: 4, outputDim: 4, temperature: 0.2 },
    user: { hidden: [3], features: [] },
    item: { hidden: [2, 5], features: [] },
  }
  const random = randomFrom(5)
  const ids = ['a', 'b', 'c']
  const rows = Float32Array.from(ids.flatMap(() => [...unitVector(model.dim, random)]))
  const start = withItems(bootstrapGeneration('g1', model, 17, 1_000), ids, rows)
  const engine = await openEngine('onnx').open(model, start.dense)
  onTestFinished(() => engine.close())
  const itemVectors = await engine.vectors('item', rows, new Float32Array(0), ids.length)
  await writeGeneration(store, { ...start, itemVectors })
  const to = openDirectoryStore(path.join(dir, 'out'))
  await exportGeneration(store, 'g1', to)
  expect(await fs.readFile(path.join(dir, 'out/README.md'), 'utf8')).toContain('# Generation g1')
  await expect(exportGeneration(store, 'g1', to)).rejects.toThrow('the folder is not empty')
  const { generation } = await importGeneration(store, 'out', { ...importOptions, id: 'g2' })
  expect(generation.itemVectors).toEqual(itemVectors)
  expect(generation.dense).toEqual(start.dense)
  expect(generation.model).toEqual(model)
  await fs.appendFile(path.join(dir, 'generations/g1/user-tower.onnx'), 'x')
  await expect(
    exportGeneration(store, 'g1', openDirectoryStore(path.join(dir, 'other'))),
  ).rejects.toThrow('user-tower.onnx: it has')
})
