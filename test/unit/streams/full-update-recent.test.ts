import { expect, test } from 'vitest'
import { FullUpdateRecent, noRecent } from '../../../src/streams/full-update-recent.ts'
import type { RecentState } from '../../../src/streams/full-update-types.ts'
import { seededRandom } from '../../support/seeded-random.ts'

interface Click {
  readonly user: number
  readonly item: number
  readonly timeMs: number
}

const [users, items] = [4, 120]
const userSlots = slotsUpTo(users)
const itemSlots = slotsUpTo(items)

test.each([1, 2, 3])(
  'seed %i: the newest 50 distinct clicks, in whatever order they come',
  (seed) => {
    const random = seededRandom(seed)
    // No two at one moment: then the order does not matter.
    const clicks = Array.from({ length: 1_500 }, (_, timeMs) => ({
      ...{ user: random.between(1, users), item: random.between(1, items), timeMs },
    }))
    const state = stateOf(shuffled(clicks, seed))
    expect(listsOf(state)).toEqual(userSlots.map((user) => newest(clicks, user)))
    expect(state.counts).toEqual(Uint32Array.from(userSlots, () => 50))
  },
)

test('goes on from a state, also in the order of clicks at one moment', () => {
  const random = seededRandom(9)
  const clicks = Array.from({ length: 800 }, () => ({
    ...{ user: random.between(1, users), item: random.between(1, items) },
    timeMs: random.between(0, 40),
  }))
  for (const at of [0, 1, 333, 799]) {
    const halfway = stateOf(clicks.slice(0, at))
    expect(stateOf(clicks.slice(at), halfway)).toEqual(stateOf(clicks))
  }
})

test('numbers users and items by what stays, and leaves out what goes', () => {
  const recent = new FullUpdateRecent(noRecent(0))
  recent.add(2, 7, 100)
  recent.add(2, 5, 200)
  recent.add(3, 9, 300)
  recent.add(2, 9, 300)
  expect(recent.state([3, 1, 2], [9, 7])).toEqual({
    counts: Uint32Array.of(1, 0, 2),
    items: Uint32Array.of(0, 0, 1),
    timesMs: Float64Array.of(300, 300, 100),
  })
})

function stateOf(clicks: readonly Click[], from = noRecent(0)): RecentState {
  const recent = new FullUpdateRecent(from)
  for (const { user, item, timeMs } of clicks) recent.add(user, item, timeMs)
  return recent.state(userSlots, itemSlots)
}

function listsOf({ counts, items: numbers }: RecentState): number[][] {
  let at = 0
  return Array.from(counts, (count) =>
    Array.from(numbers.subarray(at, (at += count)), (n) => n + 1),
  )
}

function newest(clicks: readonly Click[], user: number): number[] {
  const own = clicks.filter((click) => click.user === user).map(({ item }) => item)
  return [...new Set(own.reverse())].slice(0, 50)
}

function shuffled<T>(values: readonly T[], seed: number): T[] {
  const random = seededRandom(seed)
  return values
    .map((value) => ({ value, key: random.between(0, 1 << 30) }))
    .sort((a, b) => a.key - b.key)
    .map(({ value }) => value)
}

function slotsUpTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1)
}
