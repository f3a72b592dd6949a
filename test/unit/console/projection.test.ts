import { expect, test } from 'vitest'
import { principalPlane, project, sampleIds, type Plane } from '../../../src/console/projection.ts'
import { Random } from '../../../src/model/hash.ts'

function planeOf(vectors: Float32Array, dim: number): Plane {
  const steps = principalPlane(vectors, dim)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

test('of points on two known axes it finds these axes, their shares, and where each point lies', () => {
  // Variances 9 and 1 along (1, 1, 0) and (0, 0, 1), none along (1, -1, 0); the mean is (5, 5, 2).
  const half = 3 / Math.SQRT2
  const vectors = Float32Array.from(
    [
      [5 + half, 5 + half, 3],
      [5 - half, 5 - half, 3],
      [5 + half, 5 + half, 1],
      [5 - half, 5 - half, 1],
    ].flat(),
  )
  const { mean, axes, shares } = planeOf(vectors, 3)
  const close = (found: ArrayLike<number>, expected: readonly number[]): void =>
    expected.forEach((value, i) => expect(found[i]).toBeCloseTo(value, 4))
  close(mean, [5, 5, 2])
  close(axes[0], [Math.SQRT1_2, Math.SQRT1_2, 0])
  close(axes[1], [0, 0, 1])
  close(shares, [0.9, 0.1])
  close(project({ mean, axes, shares }, [5 + half, 5 + half, 1]), [3, -1])
})

test('the axes are orthonormal, in order, and hold more than any coordinate does', () => {
  const random = new Random(7, 1)
  const dim = 12
  const rows = 400
  const vectors = Float32Array.from(
    { length: rows * dim },
    (_, i) => (random.nextFloat() - 0.5) * ((i % dim) + 1),
  )
  const { axes, shares } = planeOf(vectors, dim)
  const dot = (a: Float64Array, b: Float64Array): number =>
    a.reduce((sum, x, i) => sum + x * b[i]!, 0)
  expect(dot(axes[0], axes[0])).toBeCloseTo(1, 9)
  expect(dot(axes[1], axes[1])).toBeCloseTo(1, 9)
  expect(dot(axes[0], axes[1])).toBeCloseTo(0, 9)
  expect(shares[0]).toBeGreaterThan(shares[1])
  const variances = Array.from({ length: dim }, (_, i) => (i + 1) ** 2)
  const widest = variances.at(-1)! / variances.reduce((sum, value) => sum + value, 0)
  expect(shares[0]).toBeGreaterThan(widest * 0.9)
  expect(planeOf(vectors, dim)).toEqual({ mean: expect.any(Float64Array) as unknown, axes, shares })
})

test('vectors that are all the same have a plane too, without variance', () => {
  const { shares, axes } = planeOf(new Float32Array(12).fill(0.5), 3)
  expect(shares).toEqual([0, 0])
  expect([...axes[0], ...axes[1]].every(Number.isFinite)).toBe(true)
  expect(planeOf(new Float32Array(0), 3).shares).toEqual([0, 0])
})

test('a sample is the same whatever the order, and mostly the same when items come', () => {
  const ids = Array.from({ length: 500 }, (_, i) => `item-${i}`)
  const sample = sampleIds(ids, 50)
  expect(sample).toHaveLength(50)
  expect(sampleIds(ids.toReversed(), 50)).toEqual(sample)
  const later = new Set(sampleIds([...ids, 'new-1', 'new-2'], 50))
  expect(sample.filter((id) => later.has(id)).length).toBeGreaterThanOrEqual(48)
})
