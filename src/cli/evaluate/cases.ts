import type { Example } from '../../records/types.ts'
import type { ClickedItems } from './clicked-items.ts'
import type { JoinedDay, JoinedWindow } from './joined-days.ts'
import { dayMs } from './joined-days.ts'

/** A click that a model is asked for. */
export interface Case {
  readonly example: Example
  readonly item: number
  /** What the user has clicked before, in order. */
  readonly history: readonly number[]
  /** First clicked less than 24 hours before. */
  readonly isFresh: boolean
}

/** Examples of a window, with the cases among them: a click on an item that its user has clicked before is none. */
export interface CasesOfWindow {
  readonly window: JoinedWindow
  readonly cases: readonly Case[]
}

/** Windows with examples of each day, in order, by day. */
export function casesByDay(
  days: readonly JoinedDay[],
  items: ClickedItems,
): ReadonlyMap<string, readonly CasesOfWindow[]> {
  const histories = new Map<string, number[]>()
  const casesOf = (example: Example): Case[] => {
    const { userId, itemId, eventTimeMs } = example
    const history = histories.get(userId) ?? []
    const item = items.numberOf(itemId)
    if (history.includes(item)) return []
    histories.set(userId, [...history, item])
    const isFresh = eventTimeMs - items.firstClickMs(item) < dayMs
    return [{ example, item, history, isFresh }]
  }
  return new Map(
    days.map(({ day, windows }) => [
      day,
      windows.map((window) => ({ window, cases: examplesOf(window).flatMap(casesOf) })),
    ]),
  )
}

export function examplesOf({ examples }: JoinedWindow): Example[] {
  return examples.flatMap(({ records }) => records.map(({ record }) => record as Example))
}
