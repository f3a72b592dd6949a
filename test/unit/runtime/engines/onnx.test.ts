import { expect, test } from 'vitest'
import { initialise } from '../../../../src/model/initialise.ts'
import { openEngine } from '../../../../src/runtime/engines/index.ts'
import { onnxEngine } from '../../../../src/runtime/engines/onnx.ts'
import { engineConformance, randomStep, testModel } from '../../../support/engine-conformance.ts'

engineConformance(openEngine('onnx'))

test('two threads give the same bytes as one', async () => {
  const model = { ...testModel([], []), dim: 64, outputDim: 64 }
  const { dense } = initialise(model, 1)
  const input = randomStep(model, 256, 300, 1)
  const outputs = []
  for (const threads of [1, 2]) {
    const engine = await onnxEngine({ threads }).open(model, dense)
    outputs.push(await engine.step(input))
    await engine.close()
  }
  expect(outputs[1]).toEqual(outputs[0])
})
