import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { importTower } from '../../../src/model/onnx-import.ts'
import { GraphBuilder, integer } from '../../../src/model/onnx-builder.ts'
import { towerGraph } from '../../../src/model/onnx-graph.ts'
import { initialise } from '../../../src/model/initialise.ts'
import { oracleEngine } from '../../../src/model/oracle.ts'
import { OracleTower } from '../../../src/model/oracle-tower.ts'
import type { ModelSpec, TowerParameters } from '../../../src/model/spec.ts'
import { randomFrom } from '../../support/vectors.ts'

const folder = path.resolve(import.meta.dirname, '../../fixtures/pytorch')
const fixture = (name: string) => fs.readFileSync(path.join(folder, `${name}.onnx`))
const expected = JSON.parse(fs.readFileSync(path.join(folder, 'expected.json'), 'utf8')) as {
  readonly rows: readonly number[]
  readonly features: readonly number[]
  readonly vectors: Readonly<Record<string, readonly number[]>>
}
const plain = { dim: 4, features: 0, outputDim: 4 }
const count = 6

function layeredTower(...from: Parameters<typeof importTower>) {
  const tower = importTower(...from)
  if (tower.kind !== 'layered') throw new Error(tower.why)
  return tower
}

function derived(name: string, width: number) {
  const { form, tensors } = layeredTower(fixture(name), { ...plain, features: width })
  const features = width === 0 ? [] : [{ kind: 'dense', name: 'f', dim: width } as const]
  const tower = { ...form, features }
  const model: ModelSpec = { dim: 4, outputDim: 4, temperature: 0.2, user: tower, item: tower }
  const parameters: TowerParameters = { tensors, embeddings: {}, statistics: {} }
  return { form, model, parameters, tower: new OracleTower(model, 'user', parameters) }
}

const rows = Float32Array.from(expected.rows)
const features = Float32Array.from(expected.features)

test.each([
  ['branches', 3],
  ['scaled', 3],
  ['linear', 0],
] as const)('the parameters of %s give the vectors that PyTorch gave', (name, width) => {
  const { vectors } = derived(name, width).tower.forward(rows, features, count)
  expected.vectors[name]!.forEach((value, i) => expect(vectors[i]).toBeCloseTo(value, 5))
})

test.each([
  ['branches', 3],
  ['scaled', 3],
] as const)('gradients by the ID rows of %s are those of finite differences', (name, width) => {
  const { tower } = derived(name, width)
  const random = randomFrom(3)
  const weights = Float64Array.from({ length: count * 4 }, () => random() - 0.5)
  const loss = (at: Float32Array) =>
    tower.forward(at, features, count).vectors.reduce((sum, v, i) => sum + v * weights[i]!, 0)
  const gradients = tower.backward(tower.forward(rows, features, count), weights, count)
  const step = 1e-3
  gradients.forEach((gradient, i) => {
    const moved = (by: number) => rows.map((value, j) => (i === j ? value + by : value))
    expect(gradient).toBeCloseTo((loss(moved(step)) - loss(moved(-step))) / (2 * step), 2)
  })
})

test('one layer alone is all shortcut, and a tower of ours comes back as it was', () => {
  const { form, parameters } = derived('linear', 0)
  expect(form).toEqual({ hidden: [1], shortcut: 'matrix' })
  expect(parameters.tensors['shortcut']!.some((value) => value !== 0)).toBe(true)
  const own: ModelSpec = {
    ...{ dim: 5, outputDim: 5, temperature: 0.2 },
    user: { hidden: [3, 4], features: [{ kind: 'dense', name: 'f', dim: 2 }] },
    item: { hidden: [6], features: [] },
  }
  const { dense } = initialise(own, 17)
  for (const [side, width] of [
    ['user', 2],
    ['item', 0],
  ] as const) {
    const { form: back, tensors } = layeredTower(towerGraph(own, dense, side), {
      ...{ dim: 5, outputDim: 5, features: width },
    })
    expect(back).toEqual({ hidden: own[side].hidden })
    expect(tensors).toEqual(dense[side].tensors)
  }
})

test('the engine learns on with what was derived', async () => {
  const { model, parameters } = derived('branches', 3)
  const engine = await oracleEngine.open(model, { user: parameters, item: parameters })
  const vectors = await engine.vectors('item', rows, features, count)
  expected.vectors['branches']!.forEach((value, i) => expect(vectors[i]).toBeCloseTo(value, 5))
})

test.each([
  ['sigmoid', 'operator Sigmoid (node'],
  ['bare', 'its output vectors is not normalised'],
  ['shifted', 'operator Div'],
] as const)('%s is no tower of ours, because %s', (name, why) => {
  expect(importTower(fixture(name), plain)).toEqual({
    ...{ kind: 'opaque', why: expect.stringContaining(why) },
  })
})

test.each([
  ['branches', plain, 'it takes features, the manifest declares none'],
  ['branches', { ...plain, features: 2 }, 'its features are 3 wide, the manifest says 2'],
  ['linear', { ...plain, dim: 5 }, 'its rows are 4 wide, the manifest says 5'],
  [
    'linear',
    { ...plain, outputDim: 3 },
    'its vectors have 4 components, the manifest says outputDim 3',
  ],
] as const)('%s is refused with %j: %s', (name, widths, why) => {
  expect(() => importTower(fixture(name), widths)).toThrow(why)
})

test('what is no tower is refused', () => {
  expect(() => importTower(Buffer.from('nonsense'), plain)).toThrow('it is no ONNX file')
  const graph = new GraphBuilder()
  const named = graph.input('ids', ['n', 4])
  graph.output('vectors', graph.node('LpNormalization', [named], [integer('axis', 1)]), ['n', 4])
  expect(() => importTower(graph.encode('t'), plain)).toThrow('its input ids is not known')
  const fixed = new GraphBuilder()
  fixed.output('vectors', fixed.input('rows', [2, 4]), [2, 4])
  expect(() => importTower(fixed.encode('t'), plain)).toThrow('for batches of 2 only')
  const nameless = new GraphBuilder()
  nameless.output('embeddings', nameless.input('rows', ['n', 4]), ['n', 4])
  expect(() => importTower(nameless.encode('t'), plain)).toThrow('no output named vectors')
  expect(() => importTower(fixture('sigmoid'), { ...plain, features: 3 })).toThrow(
    'it has no input named features',
  )
})
