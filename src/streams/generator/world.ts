import { firstAbove } from './chance.ts'
import {
  clusterCount,
  isAlive,
  itemFacts,
  itemIdOf,
  itemNumberOf,
  weightAt,
  type ItemFacts,
} from './items.ts'
import { checkOptions, type GeneratorOptions } from './options.ts'
import { openSlot, type Slot } from './slot.ts'
import { createUsers, userNumberOf, type Users } from './users.ts'

/**
 * The ground truth. A user who clicks at time t clicks item i with probability
 *   p(i | user, t) = taste(user, t)[cluster(i)] / sum of taste over clusters that have items
 *                  * weight(i, t) / sum of weights in cluster(i),
 * a closed form of (user, item, t): nothing depends on what happened before.
 */
export interface World {
  readonly options: GeneratorOptions
  readonly users: Users
  slotAt(timeMs: number): Slot
  /** Taste over clusters that have items, [clusters], sums to 1; valid until the next call. */
  tasteAt(user: number, timeMs: number): Float64Array
  /** Draws by the law above, given two chances in [0, 1). @returns index into `slot.clusters`, and the item's number */
  drawClick(
    slot: Slot,
    taste: Float64Array,
    clusterChance: number,
    itemChance: number,
  ): { readonly cluster: number; readonly item: number }
  /** Exact probability that an item shown to and clicked by this user at this time is this one; 0 for what does not exist. */
  clickProbability(userId: string, itemId: string, timeMs: number): number
  /** The k items most likely to be clicked, best first. */
  optimalRanking(userId: string, timeMs: number, k: number): string[]
  /** How many items are more likely than this one: its place, from 0, in the optimal ranking; null for what does not exist. */
  optimalRank(userId: string, itemId: string, timeMs: number): number | null
  /** Probability that the click is among the first k of the optimal ranking: no recommender does better on average. */
  optimalRecall(userId: string, timeMs: number, k: number): number
}

/** Slots kept: a learner asks about pages shown within the last minutes. */
const slotsKeptMax = 128

export function createWorld(options: GeneratorOptions): World {
  checkOptions(options)
  const users = createUsers(options)
  const slots = new Map<number, Slot>()
  const taste = new Float64Array(clusterCount(options))

  function slotAt(timeMs: number): Slot {
    const index = Math.floor(timeMs / options.slotMs)
    const known = slots.get(index)
    if (known !== undefined) return known
    const slot = openSlot(options, index, slots.get(index - 1))
    slots.set(index, slot)
    if (slots.size > slotsKeptMax) slots.delete(slots.keys().next().value!)
    return slot
  }

  function tasteAt(user: number, timeMs: number): Float64Array {
    users.taste(user, timeMs, taste)
    return restrict(taste, slotAt(timeMs))
  }

  return {
    options,
    users,
    slotAt,
    tasteAt,
    drawClick,
    clickProbability(userId, itemId, timeMs) {
      const user = userNumberOf(userId, users.count)
      const item = livingItem(options, slotAt(timeMs), itemId)
      if (user === null || item === null) return 0
      return probability(slotAt(timeMs), tasteAt(user, timeMs), item, options)
    },
    optimalRanking(userId, timeMs, k) {
      const user = userNumberOf(userId, users.count)
      if (user === null) return []
      const best = mostLikely(slotAt(timeMs), tasteAt(user, timeMs), k)
      return best.map(({ item }) => itemIdOf(item))
    },
    optimalRank(userId, itemId, timeMs) {
      const user = userNumberOf(userId, users.count)
      const slot = slotAt(timeMs)
      const item = livingItem(options, slot, itemId)
      if (user === null || item === null) return null
      const own = tasteAt(user, timeMs)
      return countAbove(slot, own, probability(slot, own, item, options))
    },
    optimalRecall(userId, timeMs, k) {
      const user = userNumberOf(userId, users.count)
      if (user === null) return 0
      const best = mostLikely(slotAt(timeMs), tasteAt(user, timeMs), k)
      return best.reduce((sum, item) => sum + item.probability, 0)
    },
  }
}

function drawClick(slot: Slot, taste: Float64Array, clusterChance: number, itemChance: number) {
  let cluster = 0
  // The last cluster with any taste takes what rounding leaves over.
  let left = clusterChance
  let drawn = 0
  for (; cluster < taste.length; cluster++) {
    if (taste[cluster] === 0) continue
    drawn = cluster
    left -= taste[cluster]!
    if (left < 0) break
  }
  const { numbers, cumulative, total } = slot.clusters[drawn]!
  return { cluster: drawn, item: numbers[firstAbove(cumulative, itemChance * total)]! }
}

/** Sets taste for clusters without items to 0 and scales the rest to sum 1, in place. */
function restrict(taste: Float64Array, slot: Slot): Float64Array {
  let sum = 0
  for (let cluster = 0; cluster < taste.length; cluster++) {
    if (slot.clusters[cluster]!.total === 0) taste[cluster] = 0
    sum += taste[cluster]!
  }
  for (let cluster = 0; cluster < taste.length; cluster++) taste[cluster]! /= sum
  return taste
}

function livingItem(options: GeneratorOptions, slot: Slot, itemId: string): ItemFacts | null {
  const number = itemNumberOf(itemId)
  if (number === null) return null
  const item = itemFacts(options, number)
  return isAlive(item, slot.startMs) ? item : null
}

function probability(
  slot: Slot,
  taste: Float64Array,
  item: ItemFacts,
  options: GeneratorOptions,
): number {
  const scale = taste[item.cluster]! / slot.clusters[item.cluster]!.total
  return scale * weightAt(options, item, slot.startMs)
}

/** The k most likely items: a merge of the clusters' descending lists. */
function mostLikely(slot: Slot, taste: Float64Array, k: number) {
  const next = new Uint32Array(taste.length)
  const best: { item: number; probability: number }[] = []
  const count = Math.min(k, slot.items.length)
  while (best.length < count) {
    let top = -1
    let topProbability = -1
    for (let cluster = 0; cluster < taste.length; cluster++) {
      const { weights, total } = slot.clusters[cluster]!
      if (next[cluster]! >= weights.length) continue
      const own = (taste[cluster]! / total) * weights[next[cluster]!]!
      if (own > topProbability) {
        top = cluster
        topProbability = own
      }
    }
    const item = slot.clusters[top]!.numbers[next[top]!++]!
    best.push({ item, probability: topProbability })
  }
  return best
}

function countAbove(slot: Slot, taste: Float64Array, limit: number): number {
  let count = 0
  for (let cluster = 0; cluster < taste.length; cluster++) {
    const { weights, total } = slot.clusters[cluster]!
    const scale = taste[cluster]! / total
    let low = 0
    let high = weights.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (scale * weights[middle]! > limit) low = middle + 1
      else high = middle
    }
    count += low
  }
  return count
}
