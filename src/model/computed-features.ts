import { writeNumber } from './features.ts'
import { standardise } from './running-statistics.ts'
import type { NumericSpec, TowerParameters, TowerSpec } from './spec.ts'
import { placesOf } from './spec.ts'

/** Names of item features that freshet computes from the log; whatever the catalogue says under them is not used. */
export const computedNames = {
  /** Hours since the item's first click; missing before. */
  age: 'freshet.age_hours',
  /** Clicks of the item, each halved every `popularityHalfLifeHours`. */
  recentClicks: 'freshet.recent_clicks',
} as const

/** Steps that 1 + x has while it doubles. */
const stepsPerDoubling = 4

/**
 * A value on a grid that gets coarser with it (steps of 19 % of 1 + x), by its number there: an item's vector is computed again only when it has moved on.
 * -1: unknown
 */
export function levelOf(value: number): number {
  return Number.isNaN(value) ? -1 : Math.round(stepsPerDoubling * Math.log2(1 + value))
}

/** The computed features of an item tower. */
export class ComputedFeatures {
  readonly #places: readonly { readonly spec: NumericSpec; readonly at: number }[]

  constructor(tower: TowerSpec) {
    const names: readonly string[] = Object.values(computedNames)
    this.#places = placesOf(tower).flatMap(({ spec, at }) =>
      spec.kind === 'numeric' && names.includes(spec.name) ? [{ spec, at }] : [],
    )
  }

  get isEmpty(): boolean {
    return this.#places.length === 0
  }

  /** Writes them as `encodePlain` does. @param offset where the item's encoded features begin */
  write(ageLevel: number, clicksLevel: number, out: Float32Array, offset: number): void {
    for (const { spec, at } of this.#places) {
      const level = spec.name === computedNames.age ? ageLevel : clicksLevel
      const value = level < 0 ? undefined : 2 ** (level / stepsPerDoubling) - 1
      writeNumber(spec, value, out, offset + at)
    }
  }

  /** Writes them as `encodeFeatures` does. */
  writeStandardised(
    ageLevel: number,
    clicksLevel: number,
    { statistics }: TowerParameters,
    out: Float32Array,
    offset: number,
  ): void {
    this.write(ageLevel, clicksLevel, out, offset)
    for (const { spec, at } of this.#places) {
      if (spec.mean === null) standardise(statistics[spec.name]!, out, offset + at)
    }
  }
}
