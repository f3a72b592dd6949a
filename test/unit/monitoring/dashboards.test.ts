import { expect, test } from 'vitest'
import { dashboards } from '../../support/monitoring.ts'

test('dashboards have names of their own', () => {
  const all = [...dashboards.values()]
  expect(all.map(({ uid }) => uid).toSorted()).toEqual([
    ...['freshet-daily', 'freshet-learner', 'freshet-overview', 'freshet-recall'],
  ])
  expect(new Set(all.map(({ title }) => title)).size).toBe(all.length)
})

test.each([...dashboards])(
  '%s: panels are told apart, and none overlaps another',
  (_, { panels }) => {
    const ids = panels.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    const taken = new Set<string>()
    for (const { title, gridPos } of panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.has(`${x} ${y}`), title).toBe(false)
          taken.add(`${x} ${y}`)
        }
      }
    }
  },
)

test.each([...dashboards])('%s asks the chosen Prometheus and nobody else', (_, dashboard) => {
  const uids: unknown[] = []
  JSON.stringify(dashboard, (key, value: unknown) => {
    if (key === 'datasource' && typeof value === 'object')
      uids.push((value as { uid: unknown }).uid)
    return value
  })
  expect(new Set(uids)).toEqual(new Set(['${datasource}']))
  const [datasource] = dashboard.templating.list
  expect(datasource).toMatchObject({ name: 'datasource', type: 'datasource', query: 'prometheus' })
})

test.each([...dashboards])('%s: every query is of the chosen deployment', (_, { panels }) => {
  for (const { title, type, targets = [] } of panels) {
    if (type === 'row' || type === 'alertlist') continue
    expect(targets.length, title).toBeGreaterThan(0)
    for (const { expr } of targets) expect(expr, title).toContain('job=~"$job"')
  }
})
