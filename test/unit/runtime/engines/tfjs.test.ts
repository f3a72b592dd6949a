import { once } from 'node:events'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import { describe, expect, onTestFinished, test } from 'vitest'
import { adam } from '../../../../src/model/adam.ts'
import type { FullStepInput } from '../../../../src/model/engine.ts'
import { Random } from '../../../../src/model/hash.ts'
import { initialise } from '../../../../src/model/initialise.ts'
import type { Loss } from '../../../../src/model/loss.ts'
import { towerGraph } from '../../../../src/model/onnx-graph.ts'
import { featureWidth, trainedTensors } from '../../../../src/model/spec.ts'
import {
  openEngine,
  openServingEngine,
  type EngineName,
} from '../../../../src/runtime/engines/index.ts'
import { matrix } from '../../../../src/runtime/engines/onnx-tensors.ts'
import { requireTensorflow } from '../../../../src/runtime/engines/tensorflow.ts'
import { operatorOf } from '../../../../src/runtime/engines/tfjs-operators.ts'
import { TfjsSession } from '../../../../src/runtime/engines/tfjs-session.ts'
import {
  deepModel,
  engineConformance,
  expectClose,
  floats,
  losses,
  randomStep,
} from '../../../support/engine-conformance.ts'
import { hasTensorflow } from '../../../support/tensorflow.ts'

const dense = (name: string) => ({ kind: 'dense', name, dim: 3 }) as const
const model = deepModel(8, [dense('a')], [dense('b')])
const names: readonly EngineName[] = ['tfjs', 'onnx', 'typescript']
const sides = ['user', 'item'] as const

if (hasTensorflow) engineConformance(openEngine('tfjs'), false)

describe.skipIf(!hasTensorflow)('with TensorFlow', () => {
  test.each(losses)(
    '%s: ten incremental steps end where those of onnx and the oracle do',
    async (_, loss) => {
      const [tfjs, onnx, oracle] = await Promise.all(names.map((name) => trainedRows(name, loss)))
      expectNear(tfjs!, onnx!)
      expectNear(tfjs!, oracle!)
    },
  )

  test.each(losses)(
    '%s: ten full steps end where those of onnx and the oracle do',
    async (_, loss) => {
      const [tfjs, onnx, oracle] = await Promise.all(names.map((name) => trainedInFull(name, loss)))
      expectNear(tfjs!, onnx!)
      expectNear(tfjs!, oracle!)
    },
  )

  test('its own forward pass is that of onnxruntime to 1e-5, its vectors are to the bit', async () => {
    const { dense } = initialise(model, 7)
    const rows = floats(13 * model.dim, new Random(1, 1))
    const features = floats(13 * 3, new Random(1, 2))
    const [tfjs, onnx] = await Promise.all(
      [openEngine('tfjs'), openServingEngine('tfjs')].map((engine) => engine.open(model, dense)),
    )
    const vectors = await onnx!.vectors('item', rows, features, 13)
    expect(await tfjs!.vectors('item', rows, features, 13)).toEqual(vectors)
    const session = new TfjsSession(requireTensorflow(), towerGraph(model, dense, 'item'))
    const feeds = { rows: matrix(rows, 13, model.dim), features: matrix(features, 13, 3) }
    expectClose((await session.run(feeds))['vectors']!.data as Float32Array, vectors)
    await session.release()
    await tfjs!.close()
    await onnx!.close()
  })

  test('a step leaves no tensor behind, and the memory of the process does not grow', async () => {
    const tf = requireTensorflow()
    const before = tf.memory().numTensors
    const engine = await openEngine('tfjs').open(model, initialise(model, 7).dense)
    const full = await openEngine('tfjs').openFull(model, initialise(model, 7).dense)
    const [step, fullStep] = [randomStep(model, 256, 512, 1), fullInput(256, 512, losses[1]![1])]
    const takeSteps = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        await engine.step(step)
        await full.step(fullStep)
      }
    }
    await takeSteps(20)
    const [tensors, bytes] = [tf.memory().numTensors, process.memoryUsage.rss()]
    await takeSteps(200)
    expect(tf.memory().numTensors).toBe(tensors)
    // One [B x M] that is kept each time would be 200 MiB.
    expect(process.memoryUsage.rss() - bytes).toBeLessThan(100 * 2 ** 20)
    await engine.close()
    await full.close()
    expect(tf.memory().numTensors).toBe(before)
  })

  test('a run that fails leaves no tensor behind either', async () => {
    const tf = requireTensorflow()
    const graph = towerGraph(model, initialise(model, 7).dense, 'item')
    const session = new TfjsSession(tf, graph)
    const tensors = tf.memory().numTensors
    const random = new Random(1, 1)
    const feeds = {
      rows: matrix(floats(13 * model.dim, random), 13, model.dim),
      features: matrix(floats(12 * 3, random), 12, 3),
    }
    await expect(session.run(feeds)).rejects.toThrow('[13,12]')
    expect(tf.memory().numTensors).toBe(tensors)
    await session.release()
  })

  test('it runs in threads too, one after another, as full updates do', async () => {
    const script = new URL('../../../../scripts/tensorflow.js', import.meta.url).href
    const code = `import(${JSON.stringify(script)}).then(({ loadTensorflow, tensorflowHome }) =>
      require('worker_threads').parentPort.postMessage(
        loadTensorflow(tensorflowHome).matMul([[1, 2]], [[3], [4]]).dataSync()))`
    for (let i = 0; i < 2; i++) {
      const worker = new Worker(code, { eval: true })
      onTestFinished(async () => void (await worker.terminate()))
      expect(await once(worker, 'message')).toEqual([Float32Array.of(11)])
      await once(worker, 'exit')
    }
  })

  test('an operator that it was not taught is named', () => {
    const node = { opType: 'Erf', input: ['x'], output: ['y'] }
    expect(() => operatorOf(requireTensorflow(), node, new Map())).toThrow('no operator Erf')
  })
})

test('where TensorFlow is not set up the error says how to, and a pod does without', async () => {
  expect(() => requireTensorflow('/nowhere')).toThrow(
    expect.objectContaining({
      code: 'TOOL_MISSING',
      message: expect.stringContaining('npm run setup:tensorflow'),
    }),
  )
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-tensorflow-'))
  onTestFinished(() => fs.rm(dir, { recursive: true }))
  expect(() => requireTensorflow(dir)).toThrow(
    expect.objectContaining({
      code: 'FILE_INVALID',
      message: expect.stringContaining(`remove ${dir}`),
    }),
  )
  expect(openServingEngine('tfjs').name).toBe('onnx')
})

/** Rows after ten steps of Adam through frozen towers. */
async function trainedRows(name: EngineName, loss: Loss): Promise<Float32Array[]> {
  const engine = await openEngine(name).open(model, initialise(model, 7).dense)
  const input = randomStep(model, 24, 30, 1, loss)
  const parameters = [input.userRows, input.positiveRows, input.negativeRows]
  const train = trainerOf(parameters)
  for (let step = 1; step <= 10; step++) {
    const output = await engine.step(input)
    train([output.userGradients, output.positiveGradients, output.negativeGradients], step)
  }
  await engine.close()
  return parameters
}

/** Everything after ten steps of Adam. */
async function trainedInFull(name: EngineName, loss: Loss): Promise<Float32Array[]> {
  const { dense } = initialise(model, 7)
  const engine = await openEngine(name).openFull(model, dense)
  const input = fullInput(24, 30, loss)
  const tensors = sides.flatMap((side) =>
    trainedTensors(model, side).map(({ name }) => ({ side, name })),
  )
  const parameters = [
    ...[input.userRows, input.userFeatures, input.itemRows, input.itemFeatures],
    ...tensors.map(({ side, name }) => dense[side].tensors[name]!),
  ]
  const train = trainerOf(parameters)
  for (let step = 1; step <= 10; step++) {
    const output = await engine.step(input)
    const gradients = [
      ...[output.userRowGradients, output.userFeatureGradients],
      ...[output.itemRowGradients, output.itemFeatureGradients],
      ...tensors.map(({ side, name }) => output.dense[side].tensors[name]!),
    ]
    train(gradients, step)
  }
  await engine.close()
  return parameters
}

function trainerOf(parameters: readonly Float32Array[]) {
  const zeros = () => parameters.map(({ length }) => new Float32Array(length))
  const [first, second] = [zeros(), zeros()]
  return (gradients: readonly Float32Array[], step: number): void => {
    parameters.forEach((values, i) => {
      const moments = { first: first[i]!, second: second[i]! }
      adam(values, gradients[i]!, moments, step, { learningRate: 0.01 })
    })
  }
}

function fullInput(batch: number, items: number, loss: Loss): FullStepInput {
  const random = new Random(5, batch)
  const weights = (count: number) =>
    Float32Array.from({ length: count }, () => 0.5 + random.nextFloat())
  return {
    ...{ loss, batch, items },
    userRows: floats(batch * model.dim, random),
    userFeatures: floats(batch * featureWidth(model.user), random),
    itemRows: floats(items * model.dim, random),
    itemFeatures: floats(items * featureWidth(model.item), random),
    targets: Int32Array.from({ length: batch }, (_, b) => (b * 7) % items),
    ...{ positiveBias: floats(batch, random), itemBias: floats(items, random) },
    ...{ itemWeights: weights(items), rowWeights: weights(batch), weights: weights(batch) },
  }
}

/** To 1e-4 of the largest entry. */
function expectNear(actual: readonly Float32Array[], expected: readonly Float32Array[]): void {
  expect(actual.length).toBe(expected.length)
  expected.forEach((values, at) => {
    const largest = values.reduce((max, value) => Math.max(max, Math.abs(value)), 1)
    values.forEach((value, i) => {
      expect(Math.abs(actual[at]![i]! - value), `${at}, entry ${i}`).toBeLessThanOrEqual(
        1e-4 * largest,
      )
    })
  })
}
