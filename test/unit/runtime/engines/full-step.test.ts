import { expect, test } from 'vitest'
import type { FullStepOutput } from '../../../../src/model/engine.ts'
import { initialise } from '../../../../src/model/initialise.ts'
import { oracleEngine } from '../../../../src/model/oracle.ts'
import type { ModelSpec, Side } from '../../../../src/model/spec.ts'
import { trainedTensors } from '../../../../src/model/spec.ts'
import { openEngine, type EngineName } from '../../../../src/runtime/engines/index.ts'
import { losses, randomFullStep } from '../../../support/engine-conformance.ts'
import { hasTensorflow } from '../../../support/tensorflow.ts'

const model: ModelSpec = {
  ...{ dim: 5, outputDim: 5, temperature: 0.3 },
  user: { hidden: [4], features: [{ kind: 'dense', name: 'a', dim: 3 }] },
  item: { hidden: [6], features: [{ kind: 'categorical', name: 'b', buckets: 4, dim: 2 }] },
}
const bare: ModelSpec = { ...model, user: { hidden: [4], features: [] } }
const deep: ModelSpec = {
  ...{ ...model, outputDim: 3 },
  user: { ...model.user, hidden: [4, 3] },
  item: { hidden: [6, 4, 5], features: [] },
}
const models = { model, bare, deep, wide: { ...deep, outputDim: 7 } }
const engines: readonly EngineName[] = hasTensorflow ? ['onnx', 'tfjs'] : ['onnx']
const sides: readonly Side[] = ['user', 'item']

test.each(
  losses.flatMap(([name, loss]) => [
    { name, loss, model, of: 'one hidden layer' },
    { name, loss, model: deep, of: 'several' },
  ]),
)(
  '$name, $of: every gradient of the full step is the slope of the sum of losses',
  async ({ loss, model }) => {
    const dense = initialise(model, 3).dense
    for (const side of sides) {
      for (const [name, values] of Object.entries(dense[side].tensors)) {
        // Behind a layer that is off, a bias of 0 would be where relu has no slope.
        if (name.includes('bias')) values.fill(0.1)
      }
    }
    const input = randomFullStep(model, 4, 6, loss)
    const engine = await oracleEngine.openFull(model, dense)
    const lossAt = async () =>
      (await engine.step(input)).losses.reduce((sum, each) => sum + each, 0)
    const found = await engine.step(input)
    const checks: [string, Float32Array, Float32Array][] = [
      ['userRows', input.userRows, found.userRowGradients],
      ['userFeatures', input.userFeatures, found.userFeatureGradients],
      ['itemRows', input.itemRows, found.itemRowGradients],
      ['itemFeatures', input.itemFeatures, found.itemFeatureGradients],
      ...sides.flatMap((side) =>
        trainedTensors(model, side).map(({ name }): [string, Float32Array, Float32Array] => [
          `${side}.${name}`,
          dense[side].tensors[name]!,
          found.dense[side].tensors[name]!,
        ]),
      ),
    ]
    for (const [name, values, gradients] of checks) {
      expect(gradients.length, name).toBe(values.length)
      for (let i = 0; i < values.length; i++) {
        const value = values[i]!
        const step = 2 ** -9
        values[i] = value + step
        const above = await lossAt()
        values[i] = value - step
        const below = await lossAt()
        values[i] = value
        expect(Math.abs((above - below) / (2 * step) - gradients[i]!), `${name} ${i}`).toBeLessThan(
          2e-3,
        )
      }
    }
  },
)

test.each(
  losses.flatMap(([name, loss]) =>
    Object.entries(models).flatMap(([of, spec]) =>
      engines.map((engine) => ({ name, loss, of, spec, engine })),
    ),
  ),
)(
  '$name, $of: $engine takes the same full step as the oracle, and the same each time',
  async ({ loss, spec, engine }) => {
    const dense = initialise(spec, 5).dense
    const tested = await openEngine(engine).openFull(spec, dense)
    const oracle = await oracleEngine.openFull(spec, dense)
    try {
      for (const [batch, items] of [
        [1, 1],
        [3, 2],
        [7, 40],
        [4, 6],
      ] as const) {
        const input = randomFullStep(spec, batch, items, loss)
        const one = await tested.step(input)
        expectClose(one, await oracle.step(input), 1e-5)
        expectClose(one, await tested.step(input), 0)
      }
    } finally {
      await tested.close()
    }
  },
)

test.each(engines)('a step of %s sees parameters that were changed in place', async (engine) => {
  const dense = initialise(model, 5).dense
  const tested = await openEngine(engine).openFull(model, dense)
  const input = randomFullStep(model, 4, 6)
  const before = await tested.step(input)
  dense.user.tensors['output_bias']![0]! += 1
  const after = await tested.step(input)
  await tested.close()
  expect(after.losses).not.toEqual(before.losses)
})

function expectClose(a: FullStepOutput, b: FullStepOutput, tolerance: number): void {
  const flat = (out: FullStepOutput) => {
    const { dense, ...rest } = out
    const parameters = sides.flatMap((side) =>
      Object.entries(dense[side].tensors).map(
        ([name, gradients]) => [`${side}.${name}`, gradients] as const,
      ),
    )
    return new Map<string, Float32Array>([...Object.entries(rest), ...parameters])
  }
  const other = flat(b)
  expect([...other.keys()].sort()).toEqual([...flat(a).keys()].sort())
  for (const [name, values] of flat(a)) {
    const wanted = other.get(name)!
    expect(values.length, name).toBe(wanted.length)
    const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 1)
    values.forEach((value, i) =>
      expect(Math.abs(value - wanted[i]!), `${name} ${i}`).toBeLessThanOrEqual(tolerance * largest),
    )
  }
}
