import { cumulativeOf } from './chance.ts'
import { candidates, clusterCount, isAlive, itemFacts, weightAt, type ItemFacts } from './items.ts'
import type { GeneratorOptions } from './options.ts'

/** The items of one cluster during one slot, most popular first. */
export interface ClusterSlot {
  readonly numbers: Float64Array
  /** Popularity, descending. */
  readonly weights: Float64Array
  readonly cumulative: Float64Array
  /** Sum of the weights; 0 for a cluster without items. */
  readonly total: number
}

/** The catalogue during one slot. Nothing in it changes within the slot. */
export interface Slot {
  readonly index: number
  readonly startMs: number
  /** In the order of their numbers. */
  readonly items: readonly ItemFacts[]
  readonly clusters: readonly ClusterSlot[]
  /** Cumulative popularity over `items`. */
  readonly popularity: Float64Array
}

/**
 * Popularities are worked out when they are first asked for: most slots of a quiet world show no page.
 * @param before the slot before this one, from which the catalogue follows at less cost
 */
export function openSlot(options: GeneratorOptions, index: number, before?: Slot): Slot {
  const startMs = index * options.slotMs
  const items = livingItems(options, startMs, before)
  let clusters: readonly ClusterSlot[] | null = null
  let popularity: Float64Array | null = null
  return {
    ...{ index, startMs, items },
    get clusters() {
      return (clusters ??= clustersOf(options, items, startMs))
    },
    get popularity() {
      return (popularity ??= cumulativeOf(items.map((item) => weightAt(options, item, startMs))))
    },
  }
}

function livingItems(options: GeneratorOptions, startMs: number, before?: Slot): ItemFacts[] {
  const [from, to] = candidates(options, startMs)
  const items = before?.items.filter((item) => isAlive(item, startMs)) ?? []
  // The last candidate of the slot before may have been born within it.
  const first = before === undefined ? from : candidates(options, before.startMs)[1]
  for (let number = first; number <= to; number++) {
    const item = itemFacts(options, number)
    if (isAlive(item, startMs) && items.at(-1)?.number !== number) items.push(item)
  }
  return items
}

function clustersOf(
  options: GeneratorOptions,
  items: readonly ItemFacts[],
  startMs: number,
): readonly ClusterSlot[] {
  const members: { number: number; weight: number }[][] = Array.from(
    { length: clusterCount(options) },
    () => [],
  )
  for (const item of items) {
    members[item.cluster]!.push({
      number: item.number,
      weight: weightAt(options, item, startMs),
    })
  }
  return members.map((list) => {
    list.sort((a, b) => b.weight - a.weight)
    const weights = Float64Array.from(list, (member) => member.weight)
    const cumulative = cumulativeOf(weights)
    const numbers = Float64Array.from(list, (member) => member.number)
    return { numbers, weights, cumulative, total: cumulative.at(-1) ?? 0 }
  })
}
