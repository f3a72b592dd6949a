/** What a graph computes from its inputs and from the hidden units that come before. */
export interface Source {
  readonly width: number
  /** 0 for an input, otherwise the number of relus on the longest way to it, itself included. */
  readonly level: number
  /** What goes into the relu; null for an input. */
  readonly of: Affine | null
}

/** bias + the sum of source times matrix over the terms. */
export interface Affine {
  readonly width: number
  /** [source.width x width] */
  readonly terms: ReadonlyMap<Source, Float64Array>
  /** [width] */
  readonly bias: Float64Array
}

export function identityOf(source: Source): Affine {
  const { width } = source
  const matrix = new Float64Array(width * width)
  for (let i = 0; i < width; i++) matrix[i * width + i] = 1
  return { width, terms: new Map([[source, matrix]]), bias: new Float64Array(width) }
}

export function reluOf(of: Affine): Source {
  const level = 1 + Math.max(0, ...[...of.terms.keys()].map((source) => source.level))
  return { width: of.width, level, of }
}

/** Where each term and the bias become something else, row by row. */
function mapped(
  { terms, bias }: Affine,
  width: number,
  change: (row: Float64Array, out: Float64Array) => void,
): Affine {
  const apply = (matrix: Float64Array, from: number): Float64Array => {
    const rows = from === 0 ? 0 : matrix.length / from
    const out = new Float64Array(rows * width)
    for (let r = 0; r < rows; r++) {
      change(matrix.subarray(r * from, (r + 1) * from), out.subarray(r * width, (r + 1) * width))
    }
    return out
  }
  const from = bias.length
  return {
    width,
    terms: new Map([...terms].map(([source, matrix]) => [source, apply(matrix, from)])),
    bias: apply(bias, from),
  }
}

/** @param matrix [value.width x width] */
export function times(value: Affine, matrix: ArrayLike<number>, width: number): Affine {
  return mapped(value, width, (row, out) => {
    row.forEach((factor, i) => {
      if (factor === 0) return
      for (let j = 0; j < width; j++) out[j]! += factor * matrix[i * width + j]!
    })
  })
}

/** @param factors one, or one for each column */
export function scaled(value: Affine, factors: ArrayLike<number>): Affine {
  const step = factors.length === 1 ? 0 : 1
  return mapped(value, value.width, (row, out) => {
    row.forEach((each, i) => (out[i] = each * factors[i * step]!))
  })
}

/** @param constants one, or one for each column */
export function shifted(value: Affine, constants: ArrayLike<number>): Affine {
  const step = constants.length === 1 ? 0 : 1
  return { ...value, bias: value.bias.map((each, i) => each + constants[i * step]!) }
}

export function sum(a: Affine, b: Affine): Affine {
  const terms = new Map(a.terms)
  for (const [source, matrix] of b.terms) {
    const own = terms.get(source)
    terms.set(source, own === undefined ? matrix : own.map((each, i) => each + matrix[i]!))
  }
  return { width: a.width, terms, bias: a.bias.map((each, i) => each + b.bias[i]!) }
}

/** Beside each other. */
export function concatenated(all: readonly Affine[]): Affine {
  const width = all.reduce((total, each) => total + each.width, 0)
  let from = 0
  const placed = all.map((each) => {
    const at = from
    from += each.width
    return mapped(each, width, (row, out) => out.set(row, at))
  })
  return placed.reduce(sum)
}
