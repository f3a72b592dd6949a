import { collectDefaultMetrics } from 'prom-client'
import { expect, test } from 'vitest'
import { createMetrics } from '../../../src/metrics/metrics.ts'
import { dashboards, rules, ruleTests, type Dashboard } from '../../support/monitoring.ts'
import { metricUses } from '../../support/promql.ts'

const { registry } = createMetrics()
const own = registry.getMetricsAsArray().map(({ name }) => name)
collectDefaultMetrics({ register: registry })

/** Every series that Prometheus can know, and its labels. */
const known = new Map<string, ReadonlySet<string>>([['up', new Set(['job', 'instance'])]])
for (const { name, type, labelNames } of await described()) {
  const labels = ['job', 'instance', ...labelNames]
  if (type !== 'histogram') known.set(name, new Set(labels))
  else {
    known.set(`${name}_bucket`, new Set([...labels, 'le']))
    for (const suffix of ['sum', 'count']) known.set(`${name}_${suffix}`, new Set(labels))
  }
}
for (const { record } of rules) {
  if (record === undefined) continue
  const level = record.split(':')[0]!
  known.set(record, new Set(level === 'global' ? [] : level.split('_')))
}

async function described() {
  const all = await registry.getMetricsAsJSON()
  return all.map(({ name, type }) => {
    const { labelNames } = registry.getSingleMetric(name) as unknown as { labelNames: string[] }
    return { name, type: String(type), labelNames }
  })
}

/** What a name or a label in it has no counterpart in the code. */
function unknownIn(expression: string): string[] {
  return metricUses(expression).flatMap(({ metric, labels }) => {
    const has = known.get(metric)
    if (has === undefined) return [metric]
    // The error budget is one number, whatever it is compared with.
    if (has.size === 0) return []
    return labels.filter((label) => !has.has(label)).map((label) => `${metric}{${label}}`)
  })
}

function expressionsOf({ panels, annotations, templating }: Dashboard): string[] {
  const queries = templating.list
    .filter(({ type }) => type === 'query')
    .map(({ query }) => {
      const text = typeof query === 'string' ? query : query.query
      const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(text)!
      return `${metric}{${label}=""}`
    })
  return [
    ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
    ...annotations.list.map(({ expr }) => expr),
    ...queries,
  ]
}

test('the names in an expression are found, with their labels', () => {
  const expression =
    'sum by (job, le) (rate(a_total{role="b", x!~"c}"}[5m] offset 2m)) unless on (job) d:e:f > 2e3 or 0 * g'
  expect(metricUses(expression)).toEqual([
    { metric: 'a_total', labels: ['role', 'x', 'job', 'le', 'job'] },
    { metric: 'd:e:f', labels: ['job', 'le', 'job'] },
    { metric: 'g', labels: ['job', 'le', 'job'] },
  ])
  expect(unknownIn('rate(freshet_events_total{sort="click"}[5m]) + freshet_event_total')).toEqual([
    'freshet_events_total{sort}',
    'freshet_event_total',
  ])
})

test('rules and their tests use only metrics and labels that the code exports', () => {
  const expressions = [
    ...rules.map(({ expr }) => expr),
    ...ruleTests.flatMap((one) => one.input_series.map(({ series }) => series)),
    ...ruleTests.flatMap((one) => (one.promql_expr_test ?? []).map(({ expr }) => expr)),
  ]
  expect(expressions.length).toBeGreaterThan(100)
  expect(expressions.flatMap(unknownIn)).toEqual([])
})

test.each([...dashboards])('dashboard %s shows only what the code exports', (_, dashboard) => {
  const expressions = expressionsOf(dashboard)
  expect(expressions.length).toBeGreaterThan(10)
  expect(expressions.flatMap(unknownIn)).toEqual([])
})

test('every metric of freshet is on a dashboard, by itself or by a rule', () => {
  const used = new Set(
    [
      ...rules.flatMap(({ expr }) => metricUses(expr)),
      ...[...dashboards.values()].flatMap(expressionsOf).flatMap(metricUses),
    ].map(({ metric }) => metric),
  )
  const suffixes = ['', '_bucket', '_sum', '_count']
  const missing = own.filter((name) => !suffixes.some((suffix) => used.has(name + suffix)))
  expect(missing).toEqual([])
})

test('a recorded series has the labels that its name says', () => {
  for (const { record, expr } of rules) {
    if (record === undefined || record.startsWith('global:')) continue
    const level = record.split(':')[0]!.split('_')
    const [, grouped] = /\bby \(([^)]*)\)/.exec(expr)!
    const kept = grouped!.split(', ').filter((label) => label !== 'le')
    expect(kept.toSorted(), record).toEqual(level.toSorted())
  }
})
