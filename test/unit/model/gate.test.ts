import { expect, test } from 'vitest'
import { aucOf, Gate } from '../../../src/model/gate.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const options = { gateMinExamples: 100, maxRegression: 0.01 }

test.each([
  ['better', 0.05, 1_000, 'passed'],
  ['as good', 0, 1_000, 'passed'],
  ['worse by less than is allowed', -0.005, 1_000, 'passed'],
  ['worse, but it may be chance', -0.02, 120, 'passed'],
  ['worse for certain', -0.1, 1_000, 'failed'],
  ['worse for certain, on too few examples', -0.3, 99, 'ungated'],
] as const)('%s: difference %s on %s examples has %s', (_, difference, examples, verdict) => {
  const random = seededRandom(9)
  const gate = new Gate()
  for (let i = 0; i < examples; i++) {
    gate.add(0.5 + difference + 0.2 * (random.next() - 0.5), 0.5 + 0.2 * (random.next() - 0.5))
  }
  const found = gate.judge(options)
  expect(found).toMatchObject({ verdict, examples })
  expect(found.interval![0]).toBeLessThan(difference + 0.01)
  expect(found.interval![1]).toBeGreaterThan(difference - 0.01)
  expect(new Gate(gate.sums).judge(options)).toEqual(found)
})

test('nothing to compare on is ungated', () => {
  expect(new Gate().judge(options)).toMatchObject({ verdict: 'ungated', difference: null })
})

test('AUC is the share of the others that score below, ties half', () => {
  const scores = Float32Array.of(9, 0.5, 0.1, 0.9, 0.5, 9)
  expect(aucOf(scores, 1, 4, 0)).toBe((1 + 0.5) / 3)
  expect(aucOf(scores, 1, 4, 2)).toBe(1)
  expect(aucOf(scores, 1, 4, 1)).toBe(0)
  expect(aucOf(scores, 1, 1, 0)).toBe(0.5)
})
