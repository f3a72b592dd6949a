import { FreshetError } from '../../errors.ts'

export interface Region {
  readonly name: string
  /** Added to UTC for the local time that decides who is awake. */
  readonly offsetHours: number
  /** Relative number of users. */
  readonly share: number
}

/** A world and how it is watched. Every time is in milliseconds; every share lies in [0, 1]. */
export interface GeneratorOptions {
  readonly seed: number
  readonly users: number
  /** Live at any moment, on average. */
  readonly items: number
  /** Impressions and clicks per second of event time, on average. */
  readonly eventsPerSecond: number
  readonly regions: readonly Region[]
  readonly categories: number
  readonly clustersPerCategory: number
  /** The catalogue and popularity change only at multiples of this. */
  readonly slotMs: number
  /** Mean life of an item; births keep the catalogue at its size. */
  readonly lifetimeMs: number
  /** Exponent of popularity over rank. */
  readonly zipfExponent: number
  /** A new item is this many times as popular on top, fading with `boostMs`. */
  readonly birthBoost: number
  readonly boostMs: number
  /** Popularity falls to 1/e over this age. */
  readonly decayMs: number
  /** A user's passing interests are others after this time. */
  readonly driftMs: number
  /** Share of taste that never changes. */
  readonly stableShare: number
  /** Share of taste spread evenly over all clusters. */
  readonly backgroundShare: number
  /** Share of users awake in the dead of night, relative to the peak. */
  readonly nightActivity: number
  readonly pageSize: number
  readonly eliminated: number
  /** Share of pages without any click. */
  readonly clicklessShare: number
  /** Chance of one more click after a click, up to `clicksPerVisitMax`. */
  readonly nextClickShare: number
  readonly clicksPerVisitMax: number
  /** Time from page to click: median, spread of its logarithm, and limit. */
  readonly clickDelayMs: number
  readonly clickDelaySpread: number
  readonly clickDelayMaxMs: number
}

/** A world that fits a laptop and can be learnt within minutes at a few hundred events a second. */
export const defaultGeneratorOptions: GeneratorOptions = {
  seed: 17,
  users: 2_000,
  items: 1_500,
  eventsPerSecond: 500,
  regions: [
    { name: 'americas', offsetHours: -5, share: 0.3 },
    { name: 'europe', offsetHours: 1, share: 0.3 },
    { name: 'asia', offsetHours: 8, share: 0.4 },
  ],
  categories: 12,
  clustersPerCategory: 5,
  slotMs: 10_000,
  lifetimeMs: 12 * 3_600_000,
  zipfExponent: 0.8,
  birthBoost: 3,
  boostMs: 30 * 60_000,
  decayMs: 8 * 3_600_000,
  driftMs: 2 * 3_600_000,
  stableShare: 0.4,
  backgroundShare: 0.05,
  nightActivity: 0.05,
  pageSize: 10,
  eliminated: 8,
  clicklessShare: 0.35,
  nextClickShare: 0.2,
  clicksPerVisitMax: 3,
  clickDelayMs: 5_000,
  clickDelaySpread: 0.9,
  clickDelayMaxMs: 10 * 60_000,
}

/** @throws FreshetError USAGE_INVALID naming the first option that makes no world. */
export function checkOptions(options: GeneratorOptions): void {
  const counts = ['users', 'items', 'categories', 'clustersPerCategory', 'pageSize'] as const
  for (const name of counts) demand(isCount(options[name]), name, 'a whole number from 1')
  const spans = ['slotMs', 'lifetimeMs', 'boostMs', 'decayMs', 'driftMs', 'clickDelayMs'] as const
  for (const name of spans) demand(options[name] > 0, name, 'above 0 ms')
  const shares = ['stableShare', 'backgroundShare', 'nightActivity', 'clicklessShare'] as const
  for (const name of shares) demand(isShare(options[name]), name, 'between 0 and 1')
  demand(isShare(options.nextClickShare), 'nextClickShare', 'between 0 and 1')
  demand(options.nightActivity > 0, 'nightActivity', 'above 0: somebody is always awake')
  demand(options.backgroundShare > 0, 'backgroundShare', 'above 0: every item has some chance')
  demand(options.eventsPerSecond > 0, 'eventsPerSecond', 'above 0')
  demand(options.clicksPerVisitMax <= options.pageSize, 'clicksPerVisitMax', 'at most pageSize')
  demand(options.regions.length > 0, 'regions', 'at least one region')
  demand(options.users >= options.regions.length, 'users', 'at least one a region')
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1
}

function isShare(value: number): boolean {
  return value >= 0 && value <= 1
}

function demand(holds: boolean, name: string, expected: string): void {
  if (!holds) {
    throw new FreshetError('USAGE_INVALID', `generator option ${name} must be ${expected}`)
  }
}
