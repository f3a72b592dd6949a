export type Floats = Float32Array | Float64Array

/** Dot product of `dim` values of `a` and of `b`, in order. */
export function dotAt(a: Floats, aStart: number, b: Floats, bStart: number, dim: number): number {
  let sum = 0
  for (let i = 0; i < dim; i++) sum += a[aStart + i]! * b[bStart + i]!
  return sum
}
