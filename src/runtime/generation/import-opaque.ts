import type { Random } from '../../model/hash.ts'
import { FreshetError } from '../../errors.ts'
import type { OnnxFile } from '../engines/onnx-session.ts'

type Graph = Pick<OnnxFile, 'run'>

/** Rows of a side with features, as both graphs of its tower take them. */
export interface TowerSample {
  /** [count x d] */
  readonly rows: Float32Array
  /** [count x F] */
  readonly features: Float32Array
  readonly count: number
  readonly dim: number
  readonly outputDim: number
}

const alikeMax = 1e-4
/** Of the length of all gradients of the sample together. */
const deviationMax = 0.02
/** Of the root mean square of the rows: float32 has 7 digits, of which a difference keeps 5. */
const stepShare = 0.01

/**
 * A tower that is run as it is gives the same for the same input, and for a row what it gives for it among others.
 * @param vectors what it has given for the sample
 * @throws FreshetError FILE_INVALID
 */
export async function checkRepeatable(
  forward: Graph,
  sample: TowerSample,
  vectors: Float32Array,
): Promise<void> {
  const output = { name: 'vectors', width: sample.outputDim }
  const { rows, features, count } = sample
  const again = await forward.run({ rows, features }, count, output)
  if (again.some((value, i) => value !== vectors[i])) {
    throw refused('it gives other vectors for the same rows each time: export it in eval mode')
  }
  const one = firstOf(sample)
  const alone = await forward.run(one, 1, output)
  if (deviation(alone, vectors.subarray(0, sample.outputDim)) <= alikeMax) return
  throw refused('a row alone gets another vector than among others: export it in eval mode')
}

/**
 * Holds a gradient graph against central differences of its tower: for random gradients by the vectors, those by the rows.
 * @throws FreshetError FILE_INVALID
 */
export async function checkGradient(
  gradient: Graph,
  forward: Graph,
  sample: TowerSample,
  random: Random,
): Promise<void> {
  const { rows, features, count, dim, outputDim } = sample
  const byVectors = Float32Array.from({ length: count * outputDim }, () => random.nextNormal())
  const output = { name: 'rows_gradient', width: dim }
  const inputs = { rows, features, vectors_gradient: byVectors }
  const theirs = await gradient.run(inputs, count, output)
  const ours = await differences(forward, sample, byVectors)
  const off = deviation(theirs, ours)
  // What is no number is not below it.
  if (!(off <= deviationMax)) {
    const [cosine, ratio] = [
      dot(theirs, ours) / (norm(theirs) * norm(ours)),
      norm(theirs) / norm(ours),
    ]
    throw refused(
      `it is no gradient of its tower: cosine ${cosine.toFixed(4)} with central differences over ${count} rows, ${ratio.toFixed(3)} times as long. rows_gradient is vectors_gradient times the Jacobian of the vectors by the rows`,
    )
  }
  const one = { ...firstOf(sample), vectors_gradient: byVectors.subarray(0, outputDim) }
  const alone = await gradient.run(one, 1, output)
  if (deviation(alone, theirs.subarray(0, dim)) <= deviationMax) return
  throw refused('a row alone gets another gradient than among others')
}

/** @returns [count x d] what `byVectors` times the vectors changes by with each component of the rows */
async function differences(
  forward: Graph,
  { rows, features, count, dim, outputDim }: TowerSample,
  byVectors: Float32Array,
): Promise<Float32Array> {
  const step = stepShare * (norm(rows) / Math.sqrt(rows.length) || 1)
  const result = new Float32Array(count * dim)
  for (let i = 0; i < dim; i++) {
    const moved = (by: number) => rows.map((value, at) => (at % dim === i ? value + by : value))
    const [above, below] = [moved(step), moved(-step)]
    const output = { name: 'vectors', width: outputDim }
    const high = await forward.run({ rows: above, features }, count, output)
    const low = await forward.run({ rows: below, features }, count, output)
    for (let n = 0; n < count; n++) {
      let change = 0
      for (let o = n * outputDim; o < (n + 1) * outputDim; o++) {
        change += byVectors[o]! * (high[o]! - low[o]!)
      }
      const at = n * dim + i
      result[at] = change / (above[at]! - below[at]!)
    }
  }
  return result
}

function firstOf({ rows, features, count }: TowerSample) {
  return {
    rows: rows.subarray(0, rows.length / count),
    features: features.subarray(0, features.length / count),
  }
}

/** Length of the difference, in lengths of the second. */
function deviation(a: Float32Array, b: Float32Array): number {
  return norm(a.map((value, i) => value - b[i]!)) / norm(b)
}

function norm(values: Float32Array): number {
  return Math.sqrt(dot(values, values))
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0)
}

function refused(why: string): FreshetError {
  return new FreshetError('FILE_INVALID', why)
}
