import { expect, test } from 'vitest'
import type { StepInput, StepOutput } from '../../../src/model/engine.ts'
import { initialise } from '../../../src/model/initialise.ts'
import { oracleEngine } from '../../../src/model/oracle.ts'
import type { FeatureSpec } from '../../../src/model/spec.ts'
import {
  deepModel,
  engineConformance,
  losses,
  randomStep,
  testModel,
} from '../../support/engine-conformance.ts'

engineConformance(oracleEngine)

const taste: FeatureSpec = { kind: 'dense', name: 'taste', dim: 3 }
const content: FeatureSpec = { kind: 'dense', name: 'content', dim: 4 }
const models = [testModel([taste], [content]), deepModel(8, [taste], [])]
const byRows = [
  ['userRows', 'userGradients'],
  ['positiveRows', 'positiveGradients'],
  ['negativeRows', 'negativeGradients'],
] as const

test.each(
  losses.flatMap(([name, loss]) =>
    byRows.flatMap(([rows, gradients]) =>
      models.map((model) => ({ name, loss, rows, gradients, model, layers: model.item.hidden })),
    ),
  ),
)(
  '$name, layers $layers: the gradient by $rows agrees with finite differences',
  async ({ loss, rows, gradients, model }) => {
    const { dense } = initialise(model, 3)
    const engine = await oracleEngine.open(model, dense)
    const input = randomStep(model, 5, 6, 11, loss)
    const analytic = (await engine.step(input))[gradients]
    const step = 1e-2
    const middle = total(await engine.step(input))
    let kinks = 0
    for (let i = 0; i < analytic.length; i++) {
      const losses = [step, -step, 2 * step, -2 * step].map(async (offset) => {
        const moved: StepInput = { ...input, [rows]: nudged(input[rows], i, offset) }
        return total(await engine.step(moved))
      })
      const [up, down, up2, down2] = (await Promise.all(losses)) as [number, number, number, number]
      // Where a hinge begins to open between two of them, there is no slope.
      const [right, left] = [up2 - 2 * up + middle, down2 - 2 * down + middle]
      if (loss.kind === 'pairwise' && Math.abs(right - left) > 2e-4) {
        kinks++
        continue
      }
      // Fourth order: the losses come back as floats, so the step cannot be small.
      const numeric = (8 * (up - down) - (up2 - down2)) / (12 * step)
      expect(analytic[i], `entry ${i}`).toBeCloseTo(numeric, 2)
    }
    expect(kinks).toBeLessThan(analytic.length / 2)
  },
)

function nudged(values: Float32Array, at: number, by: number): Float32Array {
  const copy = values.slice()
  copy[at]! += by
  return copy
}

function total(output: StepOutput): number {
  return output.losses.reduce((sum, loss) => sum + loss, 0)
}
