import type { Features } from '../../records/types.ts'
import { cumulativeOf, firstAbove, unit } from './chance.ts'
import { clusterCount } from './items.ts'
import type { GeneratorOptions } from './options.ts'

const salts = { region: 11, preference: 12, activity: 13, phase: 14, interest: 20 } as const
/** What the first, second and third interest of a period weigh. */
const interestWeights = [0.6, 0.3, 0.1] as const
/** Number of the period whose interests stay for ever; real periods count from the epoch. */
const stablePeriod = -1
const hourMs = 3_600_000

/** Everything about users that is not a function of time, and what is: taste and who is awake. */
export interface Users {
  readonly count: number
  regionOf(user: number): number
  featuresOf(user: number): Features
  /** Taste over clusters, [clusters], not normalised to the clusters that have items; sums to 1. Written to `out`. */
  taste(user: number, timeMs: number, out: Float64Array): void
  /** Share of visits by region at a time, [regions], sums to 1. */
  regionShares(timeMs: number): Float64Array
  /** A visitor, given two chances in [0, 1). */
  draw(timeMs: number, regionChance: number, userChance: number): number
}

export function createUsers(options: GeneratorOptions): Users {
  const regions = assignRegions(options)
  const features = options.regions.map((region) => regionFeatures(region.name))
  const preferences = options.regions.map((_, region) => preferenceOf(options, region))
  const members = options.regions.map((_, region) =>
    Uint32Array.from(regions.keys()).filter((user) => regions[user] === region),
  )
  const activities = members.map((users) =>
    cumulativeOf(Float64Array.from(users, (user) => activityOf(options, user))),
  )

  function regionShares(timeMs: number): Float64Array {
    const shares = Float64Array.from(options.regions, (region, index) => {
      const activity = activities[index]!
      return (activity.at(-1) ?? 0) * awakeShare(options, timeMs, region.offsetHours)
    })
    const total = shares.reduce((sum, share) => sum + share, 0)
    return shares.map((share) => share / total)
  }

  return {
    count: options.users,
    regionOf: (user) => regions[user]!,
    featuresOf: (user) => features[regions[user]!]!,
    taste: (user, timeMs, out) => {
      writeTaste(options, preferences[regions[user]!]!, user, timeMs, out)
    },
    regionShares,
    draw: (timeMs, regionChance, userChance) => {
      const region = firstAbove(cumulativeOf(regionShares(timeMs)), regionChance)
      const activity = activities[region]!
      return members[region]![firstAbove(activity, userChance * activity.at(-1)!)]!
    },
  }
}

/**
 * Share of a region's users awake, relative to its peak at 20:00 local time: a wave of one day above the floor.
 * So the mix of regions, and with it the mix of tastes, changes over the day: training in order is biased.
 */
export function awakeShare(options: GeneratorOptions, timeMs: number, offsetHours: number): number {
  const localHours = timeMs / hourMs + offsetHours
  const wave = Math.cos((Math.PI * (localHours - 20)) / 24)
  return options.nightActivity + (1 - options.nightActivity) * wave ** 4
}

function writeTaste(
  options: GeneratorOptions,
  preference: Float64Array,
  user: number,
  timeMs: number,
  out: Float64Array,
): void {
  const { seed, stableShare, backgroundShare } = options
  const progress = timeMs / options.driftMs + unit(seed, salts.phase, user)
  const period = Math.floor(progress)
  const blend = progress - period
  const own = 1 - backgroundShare
  out.fill(backgroundShare / out.length)
  addInterests(seed, preference, user, stablePeriod, own * stableShare, out)
  addInterests(seed, preference, user, period, own * (1 - stableShare) * (1 - blend), out)
  addInterests(seed, preference, user, period + 1, own * (1 - stableShare) * blend, out)
}

function addInterests(
  seed: number,
  preference: Float64Array,
  user: number,
  period: number,
  share: number,
  out: Float64Array,
): void {
  const total = preference[preference.length - 1]!
  for (let i = 0; i < interestWeights.length; i++) {
    const chance = unit(seed, salts.interest + i, user, period)
    const cluster = firstAbove(preference, chance * total)
    out[cluster]! += share * interestWeights[i]!
  }
}

/** Cumulative liking of a region for each cluster: heavy-tailed, so each region has clear favourites. */
function preferenceOf(options: GeneratorOptions, region: number): Float64Array {
  return cumulativeOf(
    Float64Array.from({ length: clusterCount(options) }, (_, cluster) => {
      const chance = unit(options.seed, salts.preference, region, cluster)
      return 1 / (0.05 + chance)
    }),
  )
}

function assignRegions(options: GeneratorOptions): Uint8Array {
  const shares = cumulativeOf(options.regions.map((region) => region.share))
  return Uint8Array.from({ length: options.users }, (_, user) =>
    firstAbove(shares, unit(options.seed, salts.region, user) * shares.at(-1)!),
  )
}

function activityOf(options: GeneratorOptions, user: number): number {
  return 0.5 + unit(options.seed, salts.activity, user)
}

function regionFeatures(name: string): Features {
  return { categorical: new Map([['region', [name]]]), numeric: new Map(), dense: new Map() }
}

export function userIdOf(user: number): string {
  return String(user + 1)
}

/** null for a string that is no user id of a world with `count` users. */
export function userNumberOf(userId: string, count: number): number | null {
  const number = /^[1-9]\d{0,9}$/.test(userId) ? Number(userId) - 1 : count
  return number < count ? number : null
}
