import os from 'node:os'
import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { oracleEngine } from '../../../src/model/oracle.ts'
import { featureWidth } from '../../../src/model/spec.ts'
import type { ModelSpec } from '../../../src/model/spec.ts'
import { openDirectoryStore } from '../../../src/runtime/generation/artifact-store.ts'
import { exportGeneration } from '../../../src/runtime/generation/export.ts'
import { bootstrapGeneration, writeGeneration } from '../../../src/runtime/generation/generation.ts'
import { withItems } from '../../support/generations.ts'
import { runPython } from '../../support/python.ts'
import { randomFrom, unitVector } from '../../support/vectors.ts'

const packages = ['numpy==2.2.6', 'safetensors==0.5.3', 'onnxruntime==1.22.1', 'fastavro==1.12.1']

/** Prints every tensor of every table, and what the item tower of the folder makes of the item rows and these features. */
const script = `
import hashlib, json, os, sys
import numpy, onnxruntime
from safetensors.numpy import load_file
folder = sys.argv[1]
manifest = json.load(open(os.path.join(folder, 'manifest.json')))
for name, facts in manifest['files'].items():
    data = open(os.path.join(folder, name), 'rb').read()
    assert len(data) == facts['bytes'] and hashlib.sha256(data).hexdigest() == facts['sha256'], name
tensors = {name: load_file(os.path.join(folder, name)) for name in manifest['files'] if name.endswith('.safetensors')}
rows = tensors['item-rows.safetensors']['rows']
tower = onnxruntime.InferenceSession(os.path.join(folder, 'item-tower.onnx'))
features = numpy.array(json.loads(sys.argv[2]), dtype=numpy.float32).reshape(len(rows), -1)
[vectors] = tower.run(['vectors'], {'rows': rows, 'features': features})
print(json.dumps({
    'shapes': {file: {name: [str(t.dtype), *t.shape] for name, t in held.items()} for file, held in tensors.items()},
    'rows': rows.ravel().tolist(),
    'seen': tensors['item-rows.safetensors']['seen_ms'].tolist(),
    'vectors': vectors.ravel().tolist(),
}))
`

const model: ModelSpec = {
  dim: 4,
  outputDim: 3,
  temperature: 0.2,
  user: { hidden: [3], features: [] },
  item: { hidden: [5, 6], features: [{ kind: 'dense', name: 'facts', dim: 3 }] },
}

interface Read {
  readonly shapes: Readonly<Record<string, Readonly<Record<string, readonly unknown[]>>>>
  readonly rows: readonly number[]
  readonly seen: readonly number[]
  readonly vectors: readonly number[]
}

test('Python reads the tables of a generation, and its towers give our vectors', async () => {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-test-'))
  onTestFinished(() => fs.rm(dir, { recursive: true }))
  const random = randomFrom(5)
  const ids = ['a', 'b', 'ü']
  const rows = Float32Array.from(ids.flatMap(() => [...unitVector(model.dim, random)]))
  const features = Float32Array.from({ length: 9 }, (_, i) => Math.sin(i))
  const bootstrap = bootstrapGeneration('g1', model, 17, 1_000)
  const oracle = await oracleEngine.open(model, bootstrap.dense)
  const vectors = await oracle.vectors('item', rows, features, ids.length)
  const generation = { ...withItems(bootstrap, ids, rows), itemVectors: vectors }
  generation.itemSeenMs[1] = 1.7e12
  await writeGeneration(openDirectoryStore(dir), generation)

  const folder = path.join(dir, 'generations/g1')
  const args = [folder, JSON.stringify([...features])]
  const read = JSON.parse(await runPython(packages, script, args)) as Read

  const width = featureWidth(model.item)
  expect(read.shapes['item-rows.safetensors']).toEqual({
    rows: ['float32', 3, 4],
    seen_ms: ['float64', 3],
  })
  expect(read.shapes['user-rows.safetensors']).toMatchObject({ rows: ['float32', 0, 4] })
  expect(read.shapes['dense.safetensors']).toMatchObject({
    'user.default_row': ['float32', 4],
    'item.hidden_weights': ['float32', model.dim + width, 5],
    'item.hidden_weights_2': ['float32', 5, 6],
    'item.shortcut': ['float32', model.dim, model.outputDim],
  })
  expect(read.shapes['optimiser.safetensors']).toMatchObject({
    'adam.first.item.projection': ['float32', width, model.outputDim],
    'frequency.gap': ['float64', 3],
  })
  expect(read.rows).toEqual([...rows])
  expect(read.seen).toEqual([0, 1.7e12, 0])
  expect(read.vectors).toHaveLength(vectors.length)
  read.vectors.forEach((value, i) => expect(value).toBeCloseTo(vectors[i]!, 5))
})

test('the lines of the documentation, and of the README of an export, read an exported generation', async () => {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-test-'))
  onTestFinished(() => fs.rm(dir, { recursive: true }))
  const rows = Float32Array.from([1, 0, 0, 0, 0, 1, 0, 0])
  const vectors = Float32Array.from([1, 0, 0, 0, 0.6, 0.8])
  const start = withItems(bootstrapGeneration('g1', model, 17, 1_000), ['a', 'ü'], rows)
  const store = openDirectoryStore(dir)
  await writeGeneration(store, { ...start, itemVectors: vectors })
  await exportGeneration(store, 'g1', openDirectoryStore(path.join(dir, 'out')))
  const page = path.resolve(import.meta.dirname, '../../../docs/generation-format.md')
  const [documented] = linesOfPython(await fs.readFile(page, 'utf8'))
  const [readme] = linesOfPython(await fs.readFile(path.join(dir, 'out/README.md'), 'utf8'))
  expect(readme).toBe(documented)
  const shown = `
import json, os, sys
os.chdir(sys.argv[1])
${documented!}
print(json.dumps([ids, vectors.ravel().tolist(), rows.shape, dense['user.default_row'].tolist()]))
`
  const read: unknown = JSON.parse(await runPython(packages, shown, [path.join(dir, 'out')]))
  expect(read).toEqual([['a', 'ü'], [...vectors], [0, 4], [...start.userDefaultRow]])
})

function linesOfPython(page: string): string[] {
  return [...page.matchAll(/```python\n(.*?)\n```/gs)].map(([, lines]) => lines!)
}
