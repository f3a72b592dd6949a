import type { Config } from '../config/schema.ts'
import type { ClickFate } from '../streams/explain.ts'
import { withKafka } from './connect.ts'
import { duration } from './duration.ts'
import { explain, type Explanation, type ExplainOptions } from './explain.ts'
import { toJsonLine } from './json-line.ts'

export async function explainCommand(
  config: Config,
  options: ExplainOptions,
  isJson: boolean,
): Promise<void> {
  const explanation = await withKafka(config, (connected) => explain(connected, config, options))
  process.stdout.write(
    isJson ? `${toJsonLine(explanation)}\n` : describeExplanation(explanation, options, Date.now()),
  )
}

export function describeExplanation(
  {
    user,
    partition,
    generation,
    row,
    learnedThroughMs,
    reply,
    impression,
    clicks,
    item,
  }: Explanation,
  { last }: Pick<ExplainOptions, 'last'>,
  nowMs: number,
): string {
  const newest =
    row === null
      ? 'none: the default row answers, as for anyone new'
      : `newest click ${timeOf(row.eventTimeMs, nowMs)}, example ${row.offset}`
  const features =
    impression === null
      ? 'none known'
      : `those of the page ${impression.requestId}, ${timeOf(impression.eventTimeMs, nowMs)}`
  return [
    `user         ${user} (partition ${partition})`,
    `generation   ${generation}, override set ${reply.overrideSequence}`,
    `row          ${newest}`,
    `learned      ${learnedThroughMs === null ? 'unknown' : `the partition through ${timeOf(learnedThroughMs, nowMs)}`}`,
    `features     ${features}`,
    `reply        ${reply.status}${reply.message === '' ? '' : ` (${reply.message})`}, ${reply.items.length} items in ${reply.latencyMs.toFixed(1)} ms`,
    '',
    clicks.length === 0
      ? `no click of this user among the last ${last} events of the partition`
      : 'clicks, newest first',
    ...clicks.map(
      ({ click, fate, title }) =>
        `  ${new Date(click.eventTimeMs).toISOString()}  ${click.requestId}  ${named(click.itemId, title)}: ${describeFate(fate)}`,
    ),
    ...(item === null ? [] : ['', ...describeItem(item)]),
    '',
  ].join('\n')
}

function describeItem(item: NonNullable<Explanation['item']>): string[] {
  const { itemId, title, why, standing } = item
  const score =
    standing === null || standing === 'unknown'
      ? []
      : [`             score ${standing.score.toFixed(4)}, exact rank ${standing.rank}`]
  return [`item         ${named(itemId, title)}: ${why}`, ...score]
}

function describeFate(fate: ClickFate): string {
  switch (fate.kind) {
    case 'learnt':
      return `joined (example ${fate.offset}), part of the row`
    case 'joined':
      return `joined (example ${fate.offset}), not part of the row yet`
    case 'repeated':
      return 'repeated: an item of a page counts once'
    case 'refused':
      return `refused: ${fate.message} (${fate.code})`
    case 'undecided':
      return 'its page is there, the joiner has not come to it yet'
    case 'waiting for its impression':
      return 'its page has not been seen: it waits for it, or came too late to be read here (--last)'
  }
}

function named(itemId: string, title: string): string {
  return title === '' ? itemId : `${itemId} "${title}"`
}

function timeOf(timeMs: number, nowMs: number): string {
  return `${new Date(timeMs).toISOString()} (${duration(nowMs - timeMs)} ago)`
}
