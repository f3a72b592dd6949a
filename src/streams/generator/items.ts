import type { Features, Item } from '../../records/types.ts'
import { unit } from './chance.ts'
import type { GeneratorOptions } from './options.ts'

const categoryNames = [
  'film', 'music', 'cooking', 'travel', 'football', 'astronomy', 'gardening', 'history',
  'cycling', 'chess', 'fashion', 'finance', 'robots', 'poetry', 'sailing', 'theatre',
] // prettier-ignore
const adjectives = [
  'Quiet', 'Golden', 'Hidden', 'Distant', 'Bright', 'Slow', 'Wild', 'Gentle', 'Broken', 'Silver',
  'Last', 'Open', 'Early', 'Secret', 'Blue', 'Restless',
] // prettier-ignore
const nouns = [
  'harbour', 'river', 'lantern', 'garden', 'summer', 'bridge', 'letter', 'island', 'winter', 'mirror',
  'station', 'orchard', 'valley', 'kitchen', 'signal', 'lighthouse', 'window', 'meadow',
] // prettier-ignore

const salts = { birth: 1, lifetime: 2, cluster: 3, rank: 4, adjective: 5, noun: 6 } as const
/** Lives end after this many mean lives at the latest, so that the items alive at any time can be listed. */
const lifetimesMax = 4

/** What is known of an item for all time. */
export interface ItemFacts {
  readonly number: number
  readonly birthMs: number
  readonly deathMs: number
  readonly cluster: number
  /** Popularity before its age is taken into account. */
  readonly weight: number
}

/** Item n, for every whole n: births come at even intervals, everything else by hash, nothing is stored. */
export function itemFacts(options: GeneratorOptions, number: number): ItemFacts {
  const { seed } = options
  const intervalMs = options.lifetimeMs / options.items
  const birthMs = (number + unit(seed, salts.birth, number)) * intervalMs
  const lives = -Math.log(1 - unit(seed, salts.lifetime, number))
  const rank = 1 + Math.floor(unit(seed, salts.rank, number) * options.items)
  return {
    number,
    birthMs,
    deathMs: birthMs + Math.min(Math.max(lives, 0.1), lifetimesMax) * options.lifetimeMs,
    cluster: Math.floor(unit(seed, salts.cluster, number) * clusterCount(options)),
    weight: rank ** -options.zipfExponent,
  }
}

/** Numbers of all items that may be alive at a time: [from, to]. */
export function candidates(options: GeneratorOptions, timeMs: number): readonly [number, number] {
  const intervalMs = options.lifetimeMs / options.items
  const to = Math.floor(timeMs / intervalMs)
  return [to - lifetimesMax * options.items - 1, to]
}

export function isAlive(item: ItemFacts, timeMs: number): boolean {
  return item.birthMs <= timeMs && item.deathMs > timeMs
}

/** Popularity at an age: a boost after birth that fades quickly, and a decay that takes its whole life. */
export function weightAt(options: GeneratorOptions, item: ItemFacts, timeMs: number): number {
  const ageMs = timeMs - item.birthMs
  const boost = 1 + options.birthBoost * Math.exp(-ageMs / options.boostMs)
  return item.weight * boost * Math.exp(-ageMs / options.decayMs)
}

export function clusterCount(options: GeneratorOptions): number {
  return options.categories * options.clustersPerCategory
}

export function categoryOf(options: GeneratorOptions, cluster: number): string {
  const category = Math.floor(cluster / options.clustersPerCategory)
  return categoryNames[category] ?? `category-${category}`
}

export function itemIdOf(number: number): string {
  return `i${number}`
}

/** null for a string that is no item id. */
export function itemNumberOf(itemId: string): number | null {
  return /^i-?\d{1,15}$/.test(itemId) ? Number(itemId.slice(1)) : null
}

/** The catalogue entry: what a recommender may know. The cluster stays hidden behind its category. */
export function catalogueEntry(options: GeneratorOptions, item: ItemFacts): Item {
  const category = categoryOf(options, item.cluster)
  const adjective = pick(adjectives, unit(options.seed, salts.adjective, item.number))
  const noun = pick(nouns, unit(options.seed, salts.noun, item.number))
  const features: Features = {
    categorical: new Map([['category', [category]]]),
    numeric: new Map(),
    dense: new Map(),
  }
  const title = `${adjective} ${noun} (${category} ${item.number})`
  return { itemId: itemIdOf(item.number), title, createdAtMs: Math.floor(item.birthMs), features }
}

function pick(words: readonly string[], chance: number): string {
  return words[Math.floor(chance * words.length)]!
}
