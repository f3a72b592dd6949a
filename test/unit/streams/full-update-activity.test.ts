import fc from 'fast-check'
import { expect, test } from 'vitest'
import { computedNames, levelOf } from '../../../src/model/computed-features.ts'
import { ageOf, hourMs, ItemActivity, noActivity } from '../../../src/model/item-activity.ts'
import type { ModelSpec, NumericSpec } from '../../../src/model/spec.ts'
import type { Example } from '../../../src/records/types.ts'
import { noFeatures } from '../../../src/records/types.ts'
import { FullUpdateActivity } from '../../../src/streams/full-update-activity.ts'

const plain = { kind: 'numeric', transform: 'none', mean: 0, deviation: 1 } as const
const features: NumericSpec[] = [
  { ...plain, name: computedNames.age },
  { ...plain, name: computedNames.recentClicks },
]
const halfLifeHours = 6
const model: ModelSpec = {
  ...{ dim: 2, outputDim: 2, temperature: 1, popularityHalfLifeHours: halfLifeHours },
  ...{ user: { hidden: [1], features: [] }, item: { hidden: [1], features } },
}
const dayHours = 24
const startHour = 400_000
const slotOf = (itemId: string) => Number(itemId)

function clickAt(itemId: string, timeMs: number): Example {
  return {
    ...{ kind: 'example', requestId: `r${timeMs}`, userId: 'u', itemId, eventTimeMs: timeMs },
    ...{ impressionTimeMs: timeMs, position: 0, weight: 1, scenario: '', hardNegatives: [] },
    features: noFeatures,
  }
}

/** Values of the features of an item, from their definition. */
function defined(clicks: readonly Example[], itemId: string, hour: number): number[] {
  const before = clicks.filter(
    (click) => click.itemId === itemId && click.eventTimeMs < hour * hourMs,
  )
  const firstMs = Math.min(...before.map(({ eventTimeMs }) => eventTimeMs))
  const recent = before.reduce((sum, { eventTimeMs }) => {
    return sum + 2 ** ((Math.floor(eventTimeMs / hourMs) - hour) / halfLifeHours)
  }, 0)
  const age = before.length === 0 ? NaN : ageOf(firstMs, hour)
  return [levelOf(age), levelOf(recent)]
}

function written(activity: FullUpdateActivity, itemId: string, hour: number): number[] {
  const out = new Float32Array(4)
  activity.write(slotOf(itemId), hour, out, 0)
  return [out[1] === 1 ? -1 : levelOf(out[0]!), levelOf(out[2]!)]
}

const days = fc.array(
  fc.array(
    fc.record({
      item: fc.integer({ min: 1, max: 3 }),
      time: fc.integer({ min: 0, max: dayHours * hourMs - 1 }),
    }),
    { minLength: 1, maxLength: 40 },
  ),
  { minLength: 1, maxLength: 3 },
)

test('as of any hour of a day that comes in any order: the clicks before it, halved by age; and the days before count on', () => {
  fc.assert(
    fc.property(days, (clicksOfDays) => {
      let state = noActivity()
      const all: Example[] = []
      const slots = [1, 2, 3]
      clicksOfDays.forEach((clicks, d) => {
        const fromHour = startHour + d * dayHours
        const examples = clicks.map(({ item, time }) =>
          clickAt(String(item), fromHour * hourMs + time),
        )
        all.push(...examples)
        const activity = new FullUpdateActivity(model, state)
        activity.observe(examples, slotOf)
        for (const hour of [0, 1, 7, 23, 24].map((each) => fromHour + each)) {
          for (const slot of slots) {
            const itemId = String(slot)
            expect(written(activity, itemId, hour)).toEqual(defined(all, itemId, hour))
          }
        }
        state = activity.state(slots)
        const end = fromHour + dayHours
        // Once it is part of the state, a day is not counted again.
        expect(written(activity, '1', end)).toEqual(defined(all, '1', end))
      })
    }),
    { seed: 7, numRuns: 60 },
  )
})

test('the learner, which sees the clicks in their order, comes to the same', () => {
  fc.assert(
    fc.property(days, ([clicks]) => {
      const examples = clicks!
        .map(({ item, time }) => clickAt(String(item), startHour * hourMs + time))
        .sort((a, b) => a.eventTimeMs - b.eventTimeMs)
      const activity = new ItemActivity(halfLifeHours)
      examples.forEach(({ itemId, eventTimeMs }, n) => {
        activity.observe(slotOf(itemId), eventTimeMs)
        const hour = Math.floor(eventTimeMs / hourMs) + 1
        const seen = examples.slice(0, n + 1)
        const [age, recent] = [
          activity.ageAt(slotOf(itemId), hour),
          activity.clicksAt(slotOf(itemId), hour),
        ]
        expect([levelOf(age), levelOf(recent)]).toEqual(defined(seen, itemId, hour))
      })
    }),
    { seed: 8, numRuns: 60 },
  )
})

test('a late click counts for as much as if it had come in time', () => {
  const [late, inTime] = [new ItemActivity(halfLifeHours), new ItemActivity(halfLifeHours)]
  const clicks = [5, 1, 3].map((hour) => (startHour + hour) * hourMs)
  for (const timeMs of clicks) late.observe(1, timeMs)
  for (const timeMs of clicks.sort()) inTime.observe(1, timeMs)
  expect(late.clicksAt(1, startHour + 6)).toBeCloseTo(inTime.clicksAt(1, startHour + 6), 12)
  expect(late.ageAt(1, startHour + 6)).toBe(5)
})

test('levels: 19 % of 1 + x apart, none for what is unknown', () => {
  expect([NaN, 0, 0.05, 0.19, 1, 15].map(levelOf)).toEqual([-1, 0, 0, 1, 4, 16])
})
