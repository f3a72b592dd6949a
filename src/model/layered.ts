import type { Affine, Source } from './affine.ts'
import { concatenated, identityOf, scaled } from './affine.ts'
import type { TowerParameters, TowerSpec } from './spec.ts'
import { biasOf, weightsOf } from './spec.ts'

/** Form and matrices of a tower (spec.ts). */
export interface LayeredTower {
  readonly form: Pick<TowerSpec, 'hidden' | 'shortcut'>
  readonly tensors: TowerParameters['tensors']
}

/**
 * Brings relus over affine functions into the form of spec.ts, where a layer sees only the one before: what a later layer needs is carried there,
 * hidden units as they are, because relu leaves them alone, and an input x as relu(x) and relu(-x).
 * @param y what is normalised into the vector
 */
export function layered(y: Affine, rows: Source, features: Source): LayeredTower {
  const layers = layersOf(y)
  const tensors: Record<string, Float32Array> = {}
  let below: readonly Source[] = [rows, features]
  layers.forEach((sources, layer) => {
    const into = concatenated(sources.map((source) => intoLayer(source, layer + 1)))
    tensors[weightsOf(layer)] = placed(into, below, layer > 0)
    tensors[biasOf(layer)] = Float32Array.from(into.bias)
    below = sources
  })
  tensors['output_weights'] = placed(y, below, true)
  tensors['output_bias'] = Float32Array.from(y.bias)
  tensors['projection'] = placed(y, [features], false)
  const shortcut = placed(y, [rows], false)
  const isIdentity = isEqual(shortcut, placed(identityOf(rows), [rows], false))
  if (!isIdentity) tensors['shortcut'] = shortcut
  const hidden = layers.map((sources) => sources.reduce((total, each) => total + slotOf(each), 0))
  const hasMatrix = !isIdentity && y.width === rows.width
  return { form: { hidden, ...(hasMatrix ? { shortcut: 'matrix' } : {}) }, tensors }
}

/** What stands in each hidden layer, the first one first: its own relus, and what is carried through. */
function layersOf(y: Affine): readonly (readonly Source[])[] {
  const last = Math.max(1, ...[...y.terms.keys()].map(({ level }) => level))
  const layers = Array.from({ length: last }, () => new Set<Source>())
  const seen = new Set<Source>()
  const need = ({ terms }: Affine, level: number): void => {
    for (const source of terms.keys()) {
      // Inputs have a way past the layers.
      if (source.level === 0 && level > last) continue
      for (let at = Math.max(1, source.level); at < level; at++) layers[at - 1]!.add(source)
      if (source.of === null || seen.has(source)) continue
      seen.add(source)
      need(source.of, source.level)
    }
  }
  need(y, last + 1)
  if (layers[0]!.size === 0) layers[0]!.add(idle)
  return layers.map((sources) => [...sources])
}

/** The hidden unit of a tower that has none. */
const idle: Source = {
  ...{ width: 1, level: 1 },
  of: { width: 1, terms: new Map(), bias: new Float64Array(1) },
}

/** Units that a source takes in a hidden layer. */
function slotOf({ width, level }: Source): number {
  return level === 0 ? 2 * width : width
}

function intoLayer(source: Source, level: number): Affine {
  if (source.level === level) return source.of!
  const own = identityOf(source)
  return source.level === 0 ? concatenated([own, scaled(own, [-1])]) : own
}

/**
 * The matrix by which a layer goes into `value`.
 * @param isHidden inputs stand in it as x and -x, each after relu
 */
function placed(
  { terms, width }: Affine,
  layer: readonly Source[],
  isHidden: boolean,
): Float32Array {
  const unitsOf = (source: Source): number => (isHidden ? slotOf(source) : source.width)
  const rows = layer.reduce((total, source) => total + unitsOf(source), 0)
  const out = new Float32Array(rows * width)
  let at = 0
  for (const source of layer) {
    const matrix = terms.get(source)
    if (matrix !== undefined) {
      out.set(matrix, at * width)
      if (unitsOf(source) > source.width) {
        out.set(
          matrix.map((each) => -each),
          (at + source.width) * width,
        )
      }
    }
    at += unitsOf(source)
  }
  return out
}

function isEqual(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i])
}
