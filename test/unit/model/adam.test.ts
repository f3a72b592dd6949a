import { expect, test } from 'vitest'
import { adam } from '../../../src/model/adam.ts'

test('steps as the published algorithm has them', () => {
  const parameters = Float32Array.of(1, -2)
  const moments = { first: new Float32Array(2), second: new Float32Array(2) }
  let m = 0
  let v = 0
  let wanted = 1
  for (const [i, gradient] of [0.5, -0.25, 3, 0.01].entries()) {
    adam(parameters, Float32Array.of(gradient, 0), moments, i + 1, { learningRate: 0.1 })
    m = 0.9 * m + 0.1 * gradient
    v = 0.999 * v + 0.001 * gradient ** 2
    wanted -= (0.1 * (m / (1 - 0.9 ** (i + 1)))) / (Math.sqrt(v / (1 - 0.999 ** (i + 1))) + 1e-8)
    expect(parameters[0]).toBeCloseTo(wanted, 5)
  }
  expect(parameters[1]).toBe(-2)
})

test('one row of a table moves alone', () => {
  const table = new Float32Array(6)
  const moments = { first: new Float32Array(6), second: new Float32Array(6) }
  adam(table, Float32Array.of(1, -1), moments, 1, { learningRate: 0.1 }, 2, 2, 0)
  expect([...table].map((value) => Math.round(value * 10) / 10)).toEqual([0, 0, -0.1, 0.1, 0, 0])
})
