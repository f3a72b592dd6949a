import type { Event, Example, Impression } from '../../src/records/types.ts'

/**
 * What the joiner has to find, computed as one would with the whole log at hand and no notion of stream time, in log order:
 * the first impression of a request stands; of the clicks that fit it, the first of each item gives an example.
 */
export function offlineJoin(
  log: readonly Event[],
  { windowMs, graceMs }: { readonly windowMs: number; readonly graceMs: number },
): Example[] {
  const pages = new Map<string, Impression>()
  for (const event of log) {
    if (event.kind === 'impression' && !pages.has(event.requestId)) {
      pages.set(event.requestId, event)
    }
  }
  const examples = new Map<string, Example>()
  for (const event of log) {
    if (event.kind !== 'click') continue
    const page = pages.get(event.requestId)
    if (page === undefined || page.userId !== event.userId) continue
    const afterMs = event.eventTimeMs - page.eventTimeMs
    if (afterMs < -graceMs || afterMs > windowMs || !page.items.includes(event.itemId)) continue
    const pair = JSON.stringify([event.requestId, event.itemId])
    if (examples.has(pair)) continue
    examples.set(pair, {
      kind: 'example',
      requestId: event.requestId,
      userId: event.userId,
      itemId: event.itemId,
      eventTimeMs: event.eventTimeMs,
      impressionTimeMs: page.eventTimeMs,
      position: page.items.indexOf(event.itemId),
      weight: event.weight,
      scenario: page.scenario,
      hardNegatives: page.eliminated,
      features: page.features,
    })
  }
  return [...examples.values()]
}
