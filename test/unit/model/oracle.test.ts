import { expect, test } from 'vitest'
import type { StepInput, StepOutput } from '../../../src/model/engine.ts'
import { initialise } from '../../../src/model/initialise.ts'
import { oracleEngine } from '../../../src/model/oracle.ts'
import { engineConformance, randomStep, testModel } from '../../support/engine-conformance.ts'

engineConformance(oracleEngine)

test.each([
  ['userRows', 'userGradients'],
  ['positiveRows', 'positiveGradients'],
  ['negativeRows', 'negativeGradients'],
] as const)('the gradient by %s agrees with finite differences', async (rows, gradients) => {
  const model = testModel(
    [{ kind: 'dense', name: 'taste', dim: 3 }],
    [{ kind: 'dense', name: 'content', dim: 4 }],
  )
  const { dense } = initialise(model, 3)
  const engine = await oracleEngine.open(model, dense)
  const input = randomStep(model, 5, 6, 11)
  const analytic = (await engine.step(input))[gradients]
  const step = 1e-2
  for (let i = 0; i < analytic.length; i++) {
    const losses = [step, -step, 2 * step, -2 * step].map(async (offset) => {
      const moved: StepInput = { ...input, [rows]: nudged(input[rows], i, offset) }
      return total(await engine.step(moved))
    })
    const [up, down, up2, down2] = (await Promise.all(losses)) as [number, number, number, number]
    // Fourth order: the losses come back as floats, so the step cannot be small.
    const numeric = (8 * (up - down) - (up2 - down2)) / (12 * step)
    expect(analytic[i], `entry ${i}`).toBeCloseTo(numeric, 2)
  }
})

function nudged(values: Float32Array, at: number, by: number): Float32Array {
  const copy = values.slice()
  copy[at]! += by
  return copy
}

function total(output: StepOutput): number {
  return output.losses.reduce((sum, loss) => sum + loss, 0)
}
