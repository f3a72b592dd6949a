import fc from 'fast-check'
import type {
  Click,
  Event,
  Example,
  Features,
  Heartbeat,
  Impression,
} from '../../../src/records/types.ts'

/** Any text, with everything that has gone wrong somewhere: empty, not ASCII, `__proto__`, long. */
export const text: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({ unit: 'grapheme-ascii', maxLength: 100 }),
  fc.constantFrom('', '__proto__', 'constructor', 'größe', '推荐', 'x'.repeat(300)),
)

/** avsc writes negative integers beyond this as a neighbour. */
const largest = 2 ** 52

/** Times and other integers, not only those that make sense. */
const integer: fc.Arbitrary<number> = fc.oneof(
  fc.integer({ min: -largest, max: largest }),
  fc.integer(),
  fc.constantFrom(0, -1, 63, 64, -64, -65, 2 ** 27, 2 ** 28, 2 ** 30, 2 ** 31, -(2 ** 31), 2 ** 41),
  fc.constantFrom(largest, -largest),
)

export const float = fc.float({ noNaN: true, noDefaultInfinity: true })

function mapOf<T>(value: fc.Arbitrary<T>): fc.Arbitrary<Map<string, T>> {
  return fc.array(fc.tuple(text, value), { maxLength: 4 }).map((entries) => new Map(entries))
}

export const features: fc.Arbitrary<Features> = fc.record({
  categorical: mapOf(fc.array(text, { maxLength: 3 })),
  numeric: mapOf(float),
  dense: mapOf(fc.array(float, { maxLength: 5 })),
})

export const impression: fc.Arbitrary<Impression> = fc.record({
  kind: fc.constant('impression' as const),
  requestId: text,
  userId: text,
  eventTimeMs: integer,
  scenario: text,
  items: fc.array(text),
  eliminated: fc.array(text),
  features,
})

export const click: fc.Arbitrary<Click> = fc.record({
  kind: fc.constant('click' as const),
  requestId: text,
  userId: text,
  itemId: text,
  eventTimeMs: integer,
  action: text,
  weight: fc.double({ noNaN: true }),
})

export const heartbeat: fc.Arbitrary<Heartbeat> = fc.record({
  kind: fc.constant('heartbeat' as const),
  eventTimeMs: integer,
})

export const event: fc.Arbitrary<Event> = fc.oneof(impression, click, heartbeat)

export const example: fc.Arbitrary<Example> = fc.record({
  kind: fc.constant('example' as const),
  requestId: text,
  userId: text,
  itemId: text,
  eventTimeMs: integer,
  impressionTimeMs: integer,
  position: fc.nat(),
  weight: fc.double({ noNaN: true }),
  scenario: text,
  hardNegatives: fc.array(text),
  features,
})
