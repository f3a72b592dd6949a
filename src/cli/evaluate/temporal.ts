import type { Config } from '../../config/schema.ts'
import { FreshetError } from '../../errors.ts'
import type { ReplaySource } from '../../runtime/replay/source.ts'
import { casesByDay } from './cases.ts'
import { ClickedItems } from './clicked-items.ts'
import { joinedDays, type JoinedDay } from './joined-days.ts'
import type { Questions } from './two-tower.ts'

const quarterMs = 15 * 60_000

export interface TemporalOptions {
  /** Days that are asked about. */
  readonly days: number
  /** First day that is left out; null: the last one of the events, which may not be whole. */
  readonly until: string | null
}

/** @throws FreshetError USAGE_INVALID where there are not so many days */
export async function questionsOf(
  source: ReplaySource,
  { joiner }: Pick<Config, 'joiner'>,
  options: TemporalOptions,
): Promise<Questions> {
  const all: JoinedDay[] = []
  for await (const day of joinedDays(source.events(null), joiner, quarterMs)) all.push(day)
  const until = options.until ?? all.at(-1)?.day ?? ''
  const days = all.filter(({ day }) => day < until)
  if (days.length <= options.days) {
    const message = `there are ${days.length} whole days before ${until}: ${options.days} to ask about and one at least to learn from are needed`
    throw new FreshetError('USAGE_INVALID', message)
  }
  const items = new ClickedItems(days)
  const asked = new Set(days.slice(-options.days).map(({ day }) => day))
  const cases = new Map([...casesByDay(days, items)].filter(([day]) => asked.has(day)))
  return { days, items, cases }
}
