import type { TowerParameters, TowerSpec } from './spec.ts'
import { placesOf } from './spec.ts'

/** [count, mean, variance] of the values of a numeric feature, transformed. */
export type Statistics = Float64Array

/** As if no more values had been seen: what is older counts less and less. */
const countMax = 1_000_000
/** What lies further from the mean is taken to lie this far, in deviations. */
const deviationsMax = 10

interface RunningFeature {
  readonly name: string
  /** Where its two floats begin among the encoded features. */
  readonly at: number
}

const ofTower = new WeakMap<TowerSpec, readonly RunningFeature[]>()

/** The numeric features of a tower that are standardised by running statistics, in their order. */
export function runningFeatures(tower: TowerSpec): readonly RunningFeature[] {
  const known = ofTower.get(tower)
  if (known !== undefined) return known
  const running = placesOf(tower).flatMap(({ spec, at }) =>
    spec.kind === 'numeric' && spec.mean === null ? [{ name: spec.name, at }] : [],
  )
  ofTower.set(tower, running)
  return running
}

export function noStatistics(): Statistics {
  return new Float64Array(3)
}

/**
 * Counts the values of `count` users or items, which are encoded except for that (Chan, Golub and LeVeque 1983: the pairwise update of mean and variance).
 * @param features [count x F]
 */
export function observeNumbers(
  tower: TowerSpec,
  { statistics }: TowerParameters,
  features: Float32Array,
  count: number,
  width: number,
): void {
  for (const { name, at } of runningFeatures(tower)) {
    const values: number[] = []
    for (let n = 0; n < count; n++) {
      if (features[n * width + at + 1] === 0) values.push(features[n * width + at]!)
    }
    if (values.length > 0) observe(statistics[name]!, values)
  }
}

/** Standardises, in place, what `observeNumbers` counts. A feature is missing as long as nothing is known of it. */
export function standardiseNumbers(
  tower: TowerSpec,
  { statistics }: TowerParameters,
  features: Float32Array,
  offset: number,
  count: number,
  width: number,
): void {
  for (const { name, at } of runningFeatures(tower)) {
    for (let n = 0; n < count; n++) {
      standardise(statistics[name]!, features, offset + n * width + at)
    }
  }
}

/** The same of one feature, whose two floats are at `place`. */
export function standardise(statistics: Statistics, features: Float32Array, place: number): void {
  if (features[place + 1] === 1) return
  const [seen, mean, variance] = statistics as unknown as [number, number, number]
  const deviations = (features[place]! - mean) / (variance > 0 ? Math.sqrt(variance) : 1)
  const limited = Math.max(-deviationsMax, Math.min(deviationsMax, deviations))
  features[place] = seen === 0 ? 0 : limited
  features[place + 1] = seen === 0 ? 1 : 0
}

function observe(statistics: Statistics, values: readonly number[]): void {
  const [seen, mean, variance] = statistics as unknown as [number, number, number]
  const count = values.length
  const ownMean = values.reduce((sum, value) => sum + value, 0) / count
  const ownSquares = values.reduce((sum, value) => sum + (value - ownMean) ** 2, 0)
  const difference = ownMean - mean
  const all = seen + count
  statistics[1] = mean + (difference * count) / all
  statistics[2] = (variance * seen + ownSquares + (difference ** 2 * seen * count) / all) / all
  statistics[0] = Math.min(all, countMax)
}
