import type { Random } from '../../model/hash.ts'
import type { Click, Impression } from '../../records/types.ts'
import type { ItemChange, SourceEvent } from '../source-event.ts'
import { firstAbove, streamFrom } from './chance.ts'
import { candidates, catalogueEntry, itemFacts, itemIdOf, type ItemFacts } from './items.ts'
import type { GeneratorOptions } from './options.ts'
import type { Slot } from './slot.ts'
import { TimeQueue } from './time-queue.ts'
import { userIdOf } from './users.ts'
import type { World } from './world.ts'

export interface EventRange {
  readonly fromMs: number
  /** No page is shown from here on; clicks on earlier pages still come. Infinity: never ends. */
  readonly untilMs: number
  /** Where an earlier run of this world stopped: items that it announced and that died since are withdrawn. */
  readonly previousMs?: number
}

/**
 * What the world's users see and do, in event-time order. First comes the whole catalogue, then births and deaths as they happen,
 * each before any page that could show it. The same world and range give the same events.
 */
export function* generateEvents(world: World, range: EventRange): Generator<SourceEvent> {
  const random = streamFrom(world.options.seed, range.fromMs)
  const pagesPerMs = pageRate(world) / 1_000
  const clicks = new TimeQueue<Click>()
  const pages = new PageMaker(world, random, range.fromMs)
  let slot = world.slotAt(range.fromMs)
  yield* openingCatalogue(world, slot, range)
  let pageMs = range.fromMs + exponential(random) / pagesPerMs
  for (;;) {
    const hasPages = pageMs < range.untilMs
    if (!hasPages && clicks.size === 0) return
    const slotMs = slot.startMs + world.options.slotMs
    if (hasPages && slotMs <= Math.min(pageMs, clicks.nextMs)) {
      const next = world.slotAt(slotMs)
      yield* catalogueChanges(world, slot, next)
      slot = next
    } else if (!hasPages || clicks.nextMs <= pageMs) {
      yield clicks.take()!
    } else {
      for (const visit of pages.visit(slot, Math.floor(pageMs))) {
        yield visit.impression
        for (const click of visit.clicks) clicks.add(click.eventTimeMs, click)
      }
      pageMs += exponential(random) / pagesPerMs
    }
  }
}

/** Pages a second such that pages and clicks together come at `eventsPerSecond`. */
function pageRate(world: World): number {
  const { eventsPerSecond, clicklessShare, nextClickShare, clicksPerVisitMax } = world.options
  let clicks = 0
  for (let i = 0; i < clicksPerVisitMax; i++) clicks += nextClickShare ** i
  return eventsPerSecond / (1 + (1 - clicklessShare) * clicks)
}

function* openingCatalogue(world: World, slot: Slot, range: EventRange): Generator<ItemChange> {
  if (range.previousMs !== undefined) {
    for (const item of diedSince(world.options, range.previousMs, slot.startMs)) {
      yield withdrawal(item, range.fromMs)
    }
  }
  for (const item of slot.items) yield announcement(world, item, range.fromMs)
}

/** Includes the deaths of the slot before, because the earlier run may have stopped between two of them. */
function* diedSince(
  options: GeneratorOptions,
  previousMs: number,
  nowMs: number,
): Generator<ItemFacts> {
  const sinceMs = previousMs - options.slotMs
  const [from] = candidates(options, sinceMs)
  const [, to] = candidates(options, previousMs)
  for (let number = from; number <= to; number++) {
    const item = itemFacts(options, number)
    if (item.birthMs <= previousMs && item.deathMs > sinceMs && item.deathMs <= nowMs) yield item
  }
}

function* catalogueChanges(world: World, before: Slot, after: Slot): Generator<ItemChange> {
  const timeMs = after.startMs
  for (const item of before.items) {
    if (item.deathMs <= timeMs) yield withdrawal(item, timeMs)
  }
  const newest = before.items.at(-1)?.number ?? -Infinity
  for (const item of after.items) {
    if (item.birthMs > before.startMs && item.number > newest) {
      yield announcement(world, item, timeMs)
    }
  }
}

function announcement(world: World, item: ItemFacts, eventTimeMs: number): ItemChange {
  const entry = catalogueEntry(world.options, item)
  return { kind: 'item', itemId: entry.itemId, item: entry, eventTimeMs }
}

function withdrawal(item: ItemFacts, eventTimeMs: number): ItemChange {
  return { kind: 'item', itemId: itemIdOf(item.number), item: null, eventTimeMs }
}

interface Page {
  readonly impression: Impression
  readonly clicks: readonly Click[]
}

/** Draws of an item that is not on the page yet, before any other item will do. */
const attemptsMax = 8

class PageMaker {
  readonly #world: World
  readonly #random: Random
  readonly #run: string
  #requests = 0

  constructor(world: World, random: Random, startMs: number) {
    this.#world = world
    this.#random = random
    this.#run = startMs.toString(36)
  }

  /**
   * The pages of one visit: usually one. Every click is drawn from the law on its own; a second click on the same item gets
   * a page of its own, because dropping it would bend the law.
   */
  visit(slot: Slot, timeMs: number): Page[] {
    if (slot.items.length === 0) return []
    const random = this.#random
    const user = this.#world.users.draw(timeMs, random.nextFloat(), random.nextFloat())
    const taste = this.#world.tasteAt(user, timeMs)
    const pages: number[][] = [[]]
    for (let left = this.#clickCount(); left > 0; left--) {
      const chance = random.nextFloat()
      const { item } = this.#world.drawClick(slot, taste, chance, random.nextFloat())
      if (pages.at(-1)!.includes(item)) pages.push([])
      pages.at(-1)!.push(item)
    }
    return pages.map((clicked) => this.#page(slot, timeMs, user, taste, clicked))
  }

  #clickCount(): number {
    const { clicklessShare, nextClickShare, clicksPerVisitMax } = this.#world.options
    if (this.#random.nextFloat() < clicklessShare) return 0
    let count = 1
    while (count < clicksPerVisitMax && this.#random.nextFloat() < nextClickShare) count++
    return count
  }

  #page(
    slot: Slot,
    timeMs: number,
    user: number,
    taste: Float64Array,
    clicked: readonly number[],
  ): Page {
    const { options, users } = this.#world
    const shown = [...clicked]
    this.#fill(shown, options.pageSize, slot, () => this.#filler(slot, taste))
    // Fillers come after the clicked ones until here: the shuffle is what keeps the position from telling.
    shuffle(shown, this.#random)
    const dropped = [...shown]
    this.#fill(dropped, shown.length + options.eliminated, slot, () => this.#nearMiss(slot, taste))
    const userId = userIdOf(user)
    const requestId = `g-${this.#run}-${(this.#requests++).toString(36)}`
    const impression: Impression = {
      kind: 'impression',
      requestId,
      userId,
      eventTimeMs: timeMs,
      scenario: 'home',
      items: shown.map(itemIdOf),
      eliminated: dropped.slice(shown.length).map(itemIdOf),
      features: users.featuresOf(user),
    }
    let clickMs = timeMs
    const clicks = clicked.map((item): Click => {
      clickMs = Math.min(clickMs + this.#delayMs(), timeMs + options.clickDelayMaxMs)
      const itemId = itemIdOf(item)
      const eventTimeMs = clickMs
      return { kind: 'click', requestId, userId, itemId, eventTimeMs, action: 'click', weight: 1 }
    })
    return { impression, clicks }
  }

  /** Adds drawn items that are not there yet; where drawing finds none, any item that is not there yet. */
  #fill(items: number[], size: number, slot: Slot, draw: () => number): void {
    const goal = Math.min(size, slot.items.length)
    while (items.length < goal) {
      let item = draw()
      for (let i = 1; i < attemptsMax && items.includes(item); i++) item = draw()
      let next = Math.floor(this.#random.nextFloat() * slot.items.length)
      while (items.includes(item)) item = slot.items[next++ % slot.items.length]!.number
      items.push(item)
    }
  }

  /** Exposure: half by the user's taste, half by popularity. */
  #filler(slot: Slot, taste: Float64Array): number {
    const chance = this.#random.nextFloat()
    const other = this.#random.nextFloat()
    if (this.#random.nextFloat() < 0.5) {
      return this.#world.drawClick(slot, taste, chance, other).item
    }
    const total = slot.popularity.at(-1)!
    return slot.items[firstAbove(slot.popularity, chance * total)]!.number
  }

  /** What ranking drops: any item of a category the user likes, found by category rather than by cluster. */
  #nearMiss(slot: Slot, taste: Float64Array): number {
    const random = this.#random
    const { clustersPerCategory } = this.#world.options
    const chance = random.nextFloat()
    const { cluster, item } = this.#world.drawClick(slot, taste, chance, random.nextFloat())
    const first = cluster - (cluster % clustersPerCategory)
    const sibling = first + Math.floor(random.nextFloat() * clustersPerCategory)
    const { numbers } = slot.clusters[sibling]!
    return numbers[Math.floor(random.nextFloat() * numbers.length)] ?? item
  }

  /** Log-normal, in whole milliseconds from 1. */
  #delayMs(): number {
    const { clickDelayMs, clickDelaySpread } = this.#world.options
    return Math.ceil(clickDelayMs * Math.exp(clickDelaySpread * this.#random.nextNormal()))
  }
}

function shuffle(items: number[], random: Random): void {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random.nextFloat() * (i + 1))
    const moved = items[i]!
    items[i] = items[j]!
    items[j] = moved
  }
}

/** Mean 1. */
function exponential(random: Random): number {
  return -Math.log(1 - random.nextFloat())
}
