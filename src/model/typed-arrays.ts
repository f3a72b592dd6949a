/** Per-slot columns: typed arrays that grow by doubling. */

type Column =
  | Uint8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>

/** `column` if it has `length` elements, else a copy at least twice as long, padded with zeros. */
export function grown<T extends Column>(column: T, length: number): T {
  if (length <= column.length) return column
  const Constructor = column.constructor as new (length: number) => T
  const larger = new Constructor(Math.max(16, length, column.length * 2))
  larger.set(column)
  return larger
}

/** Of `count` values from `at` on. */
export function allFinite(values: Float32Array, at: number, count: number): boolean {
  // Infinity times 0 is NaN, and NaN stays.
  let sum = 0
  for (let i = at; i < at + count; i++) sum += 0 * values[i]!
  return sum === 0
}
