import { describe, expect, test } from 'vitest'
import type {
  FullStepInput,
  StepInput,
  StepOutput,
  TensorEngine,
  TensorModel,
} from '../../src/model/engine.ts'
import { Random } from '../../src/model/hash.ts'
import { listwise, type Loss } from '../../src/model/loss.ts'
import { initialise } from '../../src/model/initialise.ts'
import { oracleEngine } from '../../src/model/oracle.ts'
import type { FeatureSpec, ModelSpec } from '../../src/model/spec.ts'
import { featureWidth } from '../../src/model/spec.ts'
import { randomFrom } from './vectors.ts'

const year: FeatureSpec = {
  kind: 'numeric',
  name: 'year',
  transform: 'none',
  mean: 0,
  deviation: 1,
}
const genre: FeatureSpec = { kind: 'categorical', name: 'genre', buckets: 8, dim: 5 }

export function testModel(userFeatures: FeatureSpec[], itemFeatures: FeatureSpec[]): ModelSpec {
  return {
    dim: 12,
    outputDim: 12,
    temperature: 0.2,
    user: { features: userFeatures, hidden: [9] },
    item: { features: itemFeatures, hidden: [7] },
  }
}

/** Several hidden layers, and vectors of another width than rows. */
export function deepModel(
  outputDim: number,
  userFeatures: FeatureSpec[],
  itemFeatures: FeatureSpec[],
): ModelSpec {
  return {
    ...testModel([], []),
    outputDim,
    user: { features: userFeatures, hidden: [9, 6] },
    item: { features: itemFeatures, hidden: [7, 5, 8] },
  }
}

const models: readonly (readonly [string, ModelSpec])[] = [
  ['features on both sides', testModel([year], [genre, year])],
  ['features on the item side only', testModel([], [genre])],
  ['no features at all', testModel([], [])],
  ['narrow vectors, several layers, item features', deepModel(8, [], [genre])],
  ['wide vectors, several layers, user features', deepModel(17, [year], [])],
]

export const losses: readonly (readonly [string, Loss])[] = [
  ['listwise', listwise],
  ['pointwise', { kind: 'pointwise', negativesPerPositive: 3 }],
  ['pairwise logistic', { kind: 'pairwise', form: 'logistic' }],
  ['pairwise hinge', { kind: 'pairwise', form: 'hinge', margin: 0.7 }],
]

export function floats(count: number, random: Random, scale = 1): Float32Array {
  return Float32Array.from({ length: count }, () => scale * random.nextNormal())
}

export function randomStep(
  model: ModelSpec,
  batch: number,
  negatives: number,
  seed: number,
  loss: Loss = listwise,
): StepInput {
  const random = new Random(1, seed)
  const itemWidth = featureWidth(model.item)
  return {
    loss,
    batch,
    negatives,
    userRows: floats(batch * model.dim, random),
    userFeatures: floats(batch * featureWidth(model.user), random),
    positiveRows: floats(batch * model.dim, random),
    positiveFeatures: floats(batch * itemWidth, random),
    negativeRows: floats(negatives * model.dim, random),
    negativeFeatures: floats(negatives * itemWidth, random),
    positiveBias: floats(batch, random),
    negativeBias: floats(batch * negatives, random),
    negativeWeights: Float32Array.from({ length: batch * negatives }, () => random.nextFloat()),
    weights: Float32Array.from({ length: batch }, () => 0.5 + random.nextFloat()),
  }
}

export function randomFullStep(
  spec: ModelSpec,
  batch: number,
  items: number,
  loss: Loss = listwise,
): FullStepInput {
  const random = randomFrom(batch * 100 + items)
  const uniform = (count: number) => Float32Array.from({ length: count }, () => 2 * random() - 1)
  return {
    ...{ loss, batch, items, weights: uniform(batch).map((value) => 1 + value / 2) },
    userRows: uniform(batch * spec.dim),
    userFeatures: uniform(batch * featureWidth(spec.user)),
    itemRows: uniform(items * spec.dim),
    itemFeatures: uniform(items * featureWidth(spec.item)),
    targets: Int32Array.from({ length: batch }, (_, b) => (b * 3) % items),
    positiveBias: uniform(batch),
    itemBias: uniform(items),
    itemWeights: uniform(items).map((value) => 1 + value),
    rowWeights: uniform(batch).map((value) => 1 + value),
  }
}

/**
 * What every TensorEngine has to fulfil: the arithmetic of the oracle, to 1e-5 of the largest entry.
 * @param isBitEqual whether what a step gives of one example is the same to the bit in any batch, or to 1e-5 as well
 */
export function engineConformance(engine: TensorEngine, isBitEqual = true): void {
  describe.each(models)(`${engine.name}: %s`, (_, model) => {
    const { dense } = initialise(model, 7)
    const item = { width: featureWidth(model.item) }

    test.each([
      [1, 1],
      [1, 40],
      [33, 1],
      [17, 29],
    ])('step of %i examples against %i negatives equals the oracle', async (batch, negatives) => {
      const input = randomStep(model, batch, negatives, batch)
      await withModels(engine, model, async (tested, oracle) => {
        expectSame(await tested.step(input), await oracle.step(input))
      })
    })

    test.each(losses)(
      '%s step equals the oracle, also beside another loss',
      async (_name, loss) => {
        const input = randomStep(model, 17, 29, 3, loss)
        // Logits in which a naive exponential overflows, and the next one after another loss.
        input.positiveBias[1] = -200
        input.negativeBias[5] = 150
        await withModels(engine, model, async (tested, oracle) => {
          await tested.step(randomStep(model, 4, 5, 1))
          expectSame(await tested.step(input), await oracle.step(input))
        })
      },
    )

    test('tower vectors equal the oracle and have length 1', async () => {
      const random = new Random(2, 2)
      const rows = floats(13 * model.dim, random)
      const features = floats(13 * item.width, random)
      await withModels(engine, model, async (tested, oracle) => {
        const vectors = await tested.vectors('item', rows, features, 13)
        expectClose(vectors, await oracle.vectors('item', rows, features, 13))
        expect(vectors).toHaveLength(13 * model.outputDim)
        expect(Math.hypot(...vectors.subarray(0, model.outputDim))).toBeCloseTo(1, 6)
      })
    })

    test('a vector is bit-equal in any batch, also alone', async () => {
      const rows = floats(13 * model.dim, new Random(2, 3))
      const features = floats(13 * item.width, new Random(2, 4))
      await withModels(engine, model, async (tested) => {
        const expected = await tested.vectors('item', rows, features, 13)
        for (let n = 0; n < 13; n++) {
          const row = rows.slice(n * model.dim, (n + 1) * model.dim)
          const own = features.slice(n * item.width, (n + 1) * item.width)
          const alone = await tested.vectors('item', row, own, 1)
          const together = expected.subarray(n * model.outputDim, (n + 1) * model.outputDim)
          expect([...alone]).toEqual([...together])
        }
      })
    })

    test('scores equal the oracle', async () => {
      const random = new Random(3, 3)
      const queries = floats(3 * model.outputDim, random)
      const vectors = floats(31 * model.outputDim, random)
      await withModels(engine, model, async (tested, oracle) => {
        const expected = await oracle.scores(queries, 3, vectors, 31)
        expectClose(await tested.scores(queries, 3, vectors, 31), expected)
      })
    })

    test('a masked negative gets no gradient, a large bias no NaN', async () => {
      const input = randomStep(model, 4, 6, 4)
      for (let b = 0; b < 4; b++) input.negativeBias[b * 6 + 2] = -1e9
      input.positiveBias.fill(80)
      input.negativeBias[1] = 90
      await withModels(engine, model, async (tested, oracle) => {
        const output = await tested.step(input)
        expectSame(output, await oracle.step(input))
        const masked = output.negativeGradients.subarray(2 * model.dim, 3 * model.dim)
        expect([...masked].every((value) => value === 0)).toBe(true)
      })
    })

    test('a weight of 0 takes an example out, a weight of 2 counts it twice', async () => {
      const once = randomStep(model, 3, 5, 5)
      once.weights.set([1, 0, 1])
      const twice = { ...once, weights: Float32Array.of(2, 0, 2) }
      await withModels(engine, model, async (tested) => {
        const single = await tested.step(once)
        const double = await tested.step(twice)
        expect(single.losses[1]).toBeCloseTo(0, 10)
        for (let i = 0; i < single.userGradients.length; i++) {
          expect(double.userGradients[i]).toBeCloseTo(2 * single.userGradients[i]!, 5)
        }
      })
    })

    const sameness = isBitEqual ? 'bit-equal' : 'the same'
    test(`what belongs to one example is ${sameness} however the batch is cut into two or more`, async () => {
      const whole = randomStep(model, 24, 20, 6)
      await withModels(engine, model, async (tested) => {
        const expected = await tested.step(whole)
        for (const size of [2, 7, 12]) {
          const parts: StepOutput[] = []
          for (let from = 0; from < 24; from += size) {
            parts.push(await tested.step(slice(model, whole, from, Math.min(24, from + size))))
          }
          for (const name of [
            'losses',
            'positiveScores',
            'userGradients',
            'positiveGradients',
          ] as const) {
            const joined = Float32Array.from(parts.flatMap((part) => [...part[name]]))
            if (isBitEqual) expect(joined).toEqual(expected[name])
            else expectClose(joined, expected[name])
          }
        }
      })
    })

    test('the same input gives the same bytes, and results are not overwritten by the next call', async () => {
      const input = randomStep(model, 8, 9, 8)
      await withModels(engine, model, async (tested) => {
        const first = await tested.step(input)
        const kept = [...first.negativeGradients]
        await tested.step(randomStep(model, 8, 9, 9))
        expect([...first.negativeGradients]).toEqual(kept)
        expect([...(await tested.step(input)).negativeGradients]).toEqual(kept)
      })
    })

    test('the dense parameters are not written to', async () => {
      const before = JSON.stringify(dense, asArrays)
      const tested = await engine.open(model, dense)
      await tested.step(randomStep(model, 5, 5, 10))
      await tested.close()
      expect(JSON.stringify(dense, asArrays)).toBe(before)
    })
  })
}

async function withModels(
  engine: TensorEngine,
  model: ModelSpec,
  use: (tested: TensorModel, oracle: TensorModel) => Promise<void>,
): Promise<void> {
  const { dense } = initialise(model, 7)
  const tested = await engine.open(model, dense)
  await use(tested, await oracleEngine.open(model, dense))
  await tested.close()
}

function slice(model: ModelSpec, input: StepInput, from: number, to: number): StepInput {
  const rows = (array: Float32Array, width: number) => array.slice(from * width, to * width)
  return {
    ...input,
    batch: to - from,
    userRows: rows(input.userRows, model.dim),
    userFeatures: rows(input.userFeatures, featureWidth(model.user)),
    positiveRows: rows(input.positiveRows, model.dim),
    positiveFeatures: rows(input.positiveFeatures, featureWidth(model.item)),
    positiveBias: rows(input.positiveBias, 1),
    negativeBias: rows(input.negativeBias, input.negatives),
    negativeWeights: rows(input.negativeWeights, input.negatives),
    weights: rows(input.weights, 1),
  }
}

function expectSame(actual: StepOutput, expected: StepOutput): void {
  expectClose(actual.losses, expected.losses)
  expectClose(actual.positiveScores, expected.positiveScores)
  expectClose(actual.userGradients, expected.userGradients)
  expectClose(actual.positiveGradients, expected.positiveGradients)
  expectClose(actual.negativeGradients, expected.negativeGradients)
}

export function expectClose(actual: Float32Array, expected: Float32Array, within = 1e-5): void {
  expect(actual.length).toBe(expected.length)
  const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 1)
  actual.forEach((value, i) => {
    expect(Math.abs(value - expected[i]!), `entry ${i}`).toBeLessThanOrEqual(within * largest)
  })
}

function asArrays(_: string, value: unknown): unknown {
  return value instanceof Float32Array ? [...value] : value
}
