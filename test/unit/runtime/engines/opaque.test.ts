import { expect, onTestFinished, test } from 'vitest'
import { initialise } from '../../../../src/model/initialise.ts'
import { oracleEngine } from '../../../../src/model/oracle.ts'
import type { TensorModel } from '../../../../src/model/engine.ts'
import { openEngine } from '../../../../src/runtime/engines/index.ts'
import {
  deepModel,
  engineConformance,
  expectClose,
  losses,
  randomFullStep,
  randomStep,
} from '../../../support/engine-conformance.ts'
import { asOpaque, opaqueEngine } from '../../../support/opaque.ts'

engineConformance(opaqueEngine({ item: 'learning' }))

const genre = { kind: 'categorical', name: 'genre', buckets: 8, dim: 5 } as const
const model = deepModel(8, [], [genre])
const { dense } = initialise(model, 7)

test.each(losses)(
  'a full step, %s, gives gradients by the rows and nothing else',
  async (_, loss) => {
    const input = randomFullStep(model, 7, 20, loss)
    const oracle = await (await oracleEngine.openFull(model, dense)).step(input)
    const opened = await opaqueEngine({ user: 'learning', item: 'learning' }).openFull(model, dense)
    onTestFinished(() => opened.close())
    const found = await opened.step(input)
    for (const name of ['losses', 'userVectors', 'itemVectors', 'userRowGradients'] as const) {
      expectClose(found[name], oracle[name])
    }
    expectClose(found.itemRowGradients, oracle.itemRowGradients)
    expect(found.itemFeatureGradients).toHaveLength(0)
    expect(found.dense.item).toEqual({ tensors: {}, embeddings: {} })
  },
)

test('a frozen side has no gradient, the other one has its own', async () => {
  const input = randomStep(model, 9, 12, 1)
  const oracle = await (await oracleEngine.open(model, dense)).step(input)
  const opened: TensorModel = await opaqueEngine({ item: 'frozen' }).open(model, dense)
  onTestFinished(() => opened.close())
  const found = await opened.step(input)
  expectClose(found.userGradients, oracle.userGradients)
  expect(found.positiveGradients).toEqual(new Float32Array(9 * model.dim))
  expect(found.negativeGradients).toEqual(new Float32Array(12 * model.dim))
})

test('the plain engine says that it cannot run one', async () => {
  const opaque = asOpaque(model, dense, { user: 'learning' })
  await expect(async () =>
    openEngine('typescript').open(opaque.model, opaque.dense),
  ).rejects.toThrow('the user tower is an ONNX graph of its own')
})
