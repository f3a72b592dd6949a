/** A metric in an expression of PromQL, with every label that it is chosen, joined or grouped by. */
export interface MetricUse {
  readonly metric: string
  readonly labels: readonly string[]
}

const words = new Set(['and', 'or', 'unless', 'offset', 'bool', 'inf', 'nan'])
const identifier = '[a-zA-Z_:][\\w:]*'

/**
 * The metrics of an expression, by its words: no parser, but nothing that rules and dashboards use is lost. Labels of `by`, `on` and
 * the like go to every metric of the expression, as each has to have them.
 */
export function metricUses(expression: string): MetricUse[] {
  const grouped: string[] = []
  const plain = expression
    .replaceAll(/#.*$/gm, '')
    .replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')
    .replaceAll(/\[[^\]]*\]|\boffset\s+\w+/g, ' ')
    .replaceAll(/\b(by|on|group_left|group_right)\s*\(([^)]*)\)/g, (_, __, labels: string) => {
      grouped.push(...namesIn(labels))
      return ' '
    })
    .replaceAll(/\bgroup_(left|right)\b/g, ' ')
  const uses: MetricUse[] = []
  const use = new RegExp(`(?<![\\w:.$])(${identifier})\\s*(?:\\{([^}]*)\\}|(\\())?`, 'g')
  for (const [, name, selectors = '', call] of plain.matchAll(use)) {
    if (call !== undefined || words.has(name!.toLowerCase())) continue
    const labels = selectors.split(',').flatMap((one) => namesIn(one).slice(0, 1))
    uses.push({ metric: name!, labels: [...labels, ...grouped] })
  }
  return uses
}

function namesIn(text: string): string[] {
  return text.match(new RegExp(identifier, 'g')) ?? []
}
