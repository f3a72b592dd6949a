import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Random } from '../../../src/model/hash.ts'
import { GraphBuilder, integer } from '../../../src/model/onnx-builder.ts'
import { openEngine } from '../../../src/runtime/engines/index.ts'
import type { OnnxFile } from '../../../src/runtime/engines/onnx-session.ts'
import { openDirectoryStore } from '../../../src/runtime/generation/artifact-store.ts'
import { exportGeneration } from '../../../src/runtime/generation/export.ts'
import {
  loadGeneration,
  verifyGeneration,
  writeGeneration,
} from '../../../src/runtime/generation/generation.ts'
import { checkGradient } from '../../../src/runtime/generation/import-opaque.ts'
import { importGeneration } from '../../../src/runtime/generation/import.ts'
import { storedGenerations } from '../../../src/runtime/generation/stored.ts'
import { decodeParts, encodeParts } from '../../../src/runtime/snapshot/parts.ts'
import { fixtures, importFolder, importOptions, opaqueFiles } from '../../support/imports.ts'

test('a tower of other operators stays the graph that it is, with its gradient graph, wherever it goes', async () => {
  const { dir, store, take, takeOpaque } = await importFolder(onTestFinished)
  await takeOpaque(...opaqueFiles)
  const { generation, notes } = await take()
  expect(notes).toEqual([
    expect.stringMatching(/^user-tower.onnx is run as it is, and .* ID rows only: operator LayerN/),
    expect.stringContaining('item-tower.onnx is run as it is'),
  ])
  expect(generation.model.user).toEqual({ features: [], hidden: [], opaque: 'learning' })
  const { files } = await writeGeneration(store, generation)
  for (const name of opaqueFiles) {
    const { size } = await fs.stat(path.join(fixtures.opaque, name))
    expect(files[name], name).toMatchObject({ bytes: size })
  }
  const manifest = JSON.parse(
    await fs.readFile(path.join(dir, 'generations', generation.id, 'manifest.json'), 'utf8'),
  ) as { model: { user: unknown } }
  expect(manifest.model.user).toEqual({ features: [], opaque: 'learning' })
  await verifyGeneration(store, generation.id)
  expect(await loadGeneration(store, generation.id, { for: 'training' })).toEqual(generation)
  await exportGeneration(store, generation.id, openDirectoryStore(path.join(dir, 'out')))
  const again = await importGeneration(store, 'out', { ...importOptions, id: generation.id })
  expect({ ...again.generation, model: generation.model }).toEqual(generation)

  const parts = [...encodeParts(generation, null)].map(([name, pieces]): [string, Buffer] => {
    return [name, Buffer.concat(pieces)]
  })
  const facts = { dim: 8, items: generation.itemIds.length }
  const served = await decodeParts(new Map(parts), facts, new AbortController().signal)
  const { forward } = generation.dense.user.graphs!
  expect(served.dense.user.graphs).toEqual({ forward, gradient: null })
  const pod = await openEngine('onnx').open(served.model, served.dense)
  const learner = await openEngine('onnx').open(generation.model, generation.dense)
  onTestFinished(async () => {
    await pod.close()
    await learner.close()
  })
  const none = new Float32Array(0)
  expect(await pod.vectors('user', generation.userRows, none, 5)).toEqual(
    await learner.vectors('user', generation.userRows, none, 5),
  )
})

test('without gradient graphs rows are frozen, which is said; each side goes its own way', async () => {
  const { store, take, takeOpaque } = await importFolder(onTestFinished)
  await takeOpaque('item-tower.onnx', 'user-tower-gradient.onnx')
  const { generation, notes } = await take()
  expect(generation.model.user).toMatchObject({ hidden: [12, 10] })
  expect(generation.model.item).toMatchObject({ hidden: [], opaque: 'frozen' })
  expect(notes).toEqual([
    expect.stringContaining('user-tower-gradient.onnx is passed over'),
    expect.stringContaining('item-tower.onnx is run as it is'),
    'item rows stay frozen: import it with item-tower-gradient.onnx to let them learn',
  ])
  await writeGeneration(store, generation)
  expect(await loadGeneration(store, generation.id, { for: 'training' })).toEqual(generation)
  expect(await storedGenerations(store)).toMatchObject([{ frozen: ['item'], problem: null }])
  await takeOpaque('item-tower-gradient.onnx')
  const learning = await take()
  expect(learning.generation.model.item.opaque).toBe('learning')
  expect(learning.generation.id).not.toBe(generation.id)
})

/** A user tower of one operator, or a few. */
function tower(build: (graph: GraphBuilder, rows: string) => string): Uint8Array {
  const graph = new GraphBuilder()
  graph.output('vectors', build(graph, graph.input('rows', ['n', 8])), ['n', 8])
  return graph.encode('t')
}

const unit = (graph: GraphBuilder, value: string) =>
  graph.node('LpNormalization', [value], [integer('axis', 1)])

/** A gradient graph of the user tower. */
function gradient(build: (graph: GraphBuilder, rows: string, by: string) => string): Uint8Array {
  const graph = new GraphBuilder()
  const rows = graph.input('rows', ['n', 8])
  const by = graph.input('vectors_gradient', ['n', 8])
  graph.output('rows_gradient', build(graph, rows, by), ['n', 8])
  return graph.encode('g')
}

test.each<[string, Uint8Array, string]>([
  [
    'vectors that are not of length 1',
    tower((graph, rows) => graph.node('Sigmoid', [rows])),
    'not 1: divide it by its length, as torch.nn.functional.normalize does',
  ],
  [
    'vectors that are no numbers',
    tower((graph, rows) => graph.node('Log', [graph.node('Tanh', [rows])])),
    'vector 0 has length NaN',
  ],
  [
    'vectors of another width',
    tower((graph, rows) => unit(graph, graph.node('Sigmoid', [graph.columns(rows, 0, 3)]))),
    'for 6 rows its vectors are 6 x 3, they have to be 6 x 8',
  ],
  [
    'chance',
    tower((graph, rows) => unit(graph, graph.node('RandomNormalLike', [rows]))),
    'it gives other vectors for the same rows each time: export it in eval mode',
  ],
  [
    'rows that see each other',
    tower((graph, rows) => {
      const mean = graph.node('ReduceMean', [rows], [integer('keepdims', 1)])
      return unit(graph, graph.node('Sigmoid', [graph.sub(rows, mean)]))
    }),
    'a row alone gets another vector than among others: export it in eval mode',
  ],
  [
    'an operator that nobody knows',
    tower((graph, rows) => graph.node('Twist', [rows])),
    'onnxruntime cannot run it',
  ],
])('refused as a tower: %s', async (_, bytes, why) => {
  const { file, take } = await importFolder(onTestFinished)
  await fs.writeFile(file('user-tower.onnx'), bytes)
  await expect(take()).rejects.toThrow(`Generation from, user-tower.onnx: `)
  await expect(take()).rejects.toThrow(why)
})

test.each<[string, Uint8Array, string]>([
  ['what is no ONNX file', Buffer.from('nonsense'), 'it is no ONNX file'],
  ['a tower', tower((graph, rows) => unit(graph, rows)), 'it has no output named rows_gradient'],
  [
    'no gradient at all',
    gradient((graph, rows, by) => graph.add(by, graph.mul(rows, graph.scalar(0)))),
    'it is no gradient of its tower: cosine ',
  ],
  [
    'another input',
    (() => {
      const graph = new GraphBuilder()
      graph.output('rows_gradient', graph.input('gradient', ['n', 8]), ['n', 8])
      return graph.encode('g')
    })(),
    'its input gradient is not known: it may take rows, features, vectors_gradient',
  ],
  [
    'an output of another width',
    gradient((graph, rows, by) => graph.columns(graph.add(rows, by), 0, 2)),
    'for 6 rows its rows_gradient are 6 x 2, they have to be 6 x 8',
  ],
])('refused as a gradient graph: %s', async (_, bytes, why) => {
  const { file, take, takeOpaque } = await importFolder(onTestFinished)
  await takeOpaque('user-tower.onnx')
  await fs.writeFile(file('user-tower-gradient.onnx'), bytes)
  await expect(take()).rejects.toThrow(`Generation from, user-tower-gradient.onnx: ${why}`)
})

/** A tower f(r) = tanh(2 r) by component. @param gradientOf of component i, where the gradient by the vectors is `by` */
function checked(gradientOf: (r: number, by: number, i: number) => number): Promise<void> {
  const run = (each: (i: number, inputs: Inputs) => number): Pick<OnnxFile, 'run'> => ({
    run: (inputs) => Promise.resolve(inputs['rows']!.map((_, i) => each(i, inputs))),
  })
  const forward = run((i, { rows }) => Math.tanh(2 * rows![i]!))
  const gradient = run((i, { rows, vectors_gradient: by }) => gradientOf(rows![i]!, by![i]!, i))
  const random = new Random(1, 2)
  const rows = Float32Array.from({ length: 12 }, () => random.nextNormal())
  const sample = { rows, features: new Float32Array(0), count: 3, dim: 4, outputDim: 4 }
  return checkGradient(gradient, forward, sample, random)
}

type Inputs = Readonly<Record<string, Float32Array>>

test('a gradient is held against central differences: its direction, its length, and row by row', async () => {
  const slope = (r: number) => 2 * (1 - Math.tanh(2 * r) ** 2)
  await checked((r, by) => by * slope(r))
  await expect(checked((r, by) => 0.5 * by * slope(r))).rejects.toThrow(
    /cosine 1\.0000 .* 0\.500 times as long/,
  )
  await expect(checked((r, by) => -by * slope(r))).rejects.toThrow('cosine -1.0000')
  await expect(checked((r, by, i) => (i === 5 ? 0 : by * slope(r)))).rejects.toThrow('no gradient')
  await expect(checked(() => NaN)).rejects.toThrow('cosine NaN')
})
