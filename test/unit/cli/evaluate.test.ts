import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'
import { askBaselines } from '../../../src/cli/evaluate/baselines.ts'
import type { Case } from '../../../src/cli/evaluate/cases.ts'
import { scoresOf } from '../../../src/cli/evaluate/figures.ts'
import type { EvaluationReport } from '../../../src/cli/evaluate/report.ts'
import { questionsOf } from '../../../src/cli/evaluate/temporal.ts'
import { askTwoTowers, twoTowerRows, type Questions } from '../../../src/cli/evaluate/two-tower.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { noFeatures, type Click, type Impression } from '../../../src/records/types.ts'
import type { SourceEvent } from '../../../src/streams/source-event.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const dayMs = 86_400_000
const hourMs = 3_600_000
const startMs = Date.UTC(2026, 0, 1)
const [users, items, days] = [30, 60, 6]
const config = loadConfig({
  texts: [],
  environment: {},
  settings: [
    ...['model.dim=8', 'model.outputDim=6', 'model.item.hidden=[8,6]', 'model.user.hidden=8'],
    ...['learner.negatives=16'],
    // Without a catalogue a click is all that is known of an item.
    'learner.admitAfterItems=1',
  ],
})

test('a click that its user has made before is no case, and only whole days are asked about', async () => {
  const { cases, days: read } = await questions()
  expect(read.map(({ day }) => day)).toEqual(
    ['01', '02', '03', '04', '05'].map((d) => `2026-01-${d}`),
  )
  expect([...cases.keys()]).toEqual(['2026-01-04', '2026-01-05'])
  const seen = new Set<string>()
  const expected = clicksOf(worldOf(3)).filter(({ userId, itemId, eventTimeMs }) => {
    const isNew = !seen.has(`${userId} ${itemId}`)
    seen.add(`${userId} ${itemId}`)
    return isNew && eventTimeMs >= startMs + 3 * dayMs && eventTimeMs < startMs + 5 * dayMs
  })
  expect(allOf(cases).map(({ example }) => example.requestId)).toEqual(
    expected.map(({ requestId }) => requestId),
  )
})

test('serving knows what was clicked before its last sync and nothing else', async () => {
  const asked = await questions()
  const figures = await askTwoTowers(asked, config)
  // All items fit in the first hundred, so whatever is known is found.
  const firstMs = new Map<string, number>()
  for (const { itemId, eventTimeMs } of clicksOf(worldOf(3))) {
    if (!firstMs.has(itemId)) firstMs.set(itemId, eventTimeMs)
  }
  const askedFromMs = startMs + 3 * dayMs
  for (const [i, { kind, syncMs }] of twoTowerRows.entries()) {
    const known = allOf(asked.cases).filter(({ example: { itemId, eventTimeMs } }) => {
      const syncedMs = kind === 'frozen' ? askedFromMs : Math.floor(eventTimeMs / syncMs) * syncMs
      return firstMs.get(itemId)! < syncedMs
    })
    const name = `${kind} ${syncMs}`
    expect({ name, hits: figures[i]!.all.hitsAt100 }).toEqual({ name, hits: known.length })
  }
  const hitsOf = (syncMs: number) =>
    figures[twoTowerRows.findIndex((row) => row.kind === 'both' && row.syncMs === syncMs)]!
  expect(hitsOf(hourMs / 4).all.hitsAt100).toBeGreaterThan(hitsOf(hourMs).all.hitsAt100)
  // A day begins with a new generation: what was learnt online since the one before is not part of it.
  const full = figures[twoTowerRows.findIndex(({ kind }) => kind === 'full')]
  expect(hitsOf(dayMs)).toEqual(full)
})

test('popularity counts whole quarters of an hour, orders ties by all days before, and leaves out what the user has clicked', async () => {
  const asked = await questions()
  const figures = askBaselines(asked).get('popularity, 24 h, every 15 min')!
  const clicks = clicksOf(worldOf(3))
  let reciprocal = 0
  for (const { example, history } of allOf(asked.cases)) {
    const syncedMs = Math.floor(example.eventTimeMs / (hourMs / 4)) * (hourMs / 4)
    const countsIn = (fromMs: number, toMs: number) => {
      const counts = new Map<string, number>()
      for (const { itemId, eventTimeMs } of clicks) {
        if (eventTimeMs < fromMs || eventTimeMs >= toMs) continue
        counts.set(itemId, (counts.get(itemId) ?? 0) + 1)
      }
      return counts
    }
    const known = [...countsIn(0, syncedMs).keys()]
    if (!known.includes(example.itemId)) continue
    const recent = countsIn(syncedMs - dayMs, syncedMs)
    const before = countsIn(0, Math.floor(syncedMs / dayMs) * dayMs)
    const scoreOf = (id: string) => (recent.get(id) ?? 0) + (before.get(id) ?? 0) / 1e6
    const left = history.map((number) => asked.items.idOf(number))
    const others = known.filter((id) => id !== example.itemId && !left.includes(id)).map(scoreOf)
    const own = scoreOf(example.itemId)
    const rank =
      1 +
      others.filter((score) => score > own).length +
      others.filter((score) => score === own).length / 2
    reciprocal += 1 / rank
  }
  expect(figures.all.reciprocalRanks).toBeCloseTo(reciprocal, 6)
})

test('item-kNN and iALS find what users of one taste click, and frozen popularity does not', async () => {
  const asked = await questions()
  const baselines = askBaselines(asked)
  const mrrOf = (name: string) => scoresOf(baselines.get(name)!).mrr
  const popularity = mrrOf('popularity, all history, daily')
  expect(mrrOf('item-kNN, history up to date')).toBeGreaterThan(1.5 * popularity)
  expect(mrrOf('iALS, daily')).toBeGreaterThan(1.5 * popularity)
})

test('too few days are refused, saying how many there are', async () => {
  const source = sourceOf(worldOf(3))
  await expect(questionsOf(source, config, { days: 5, until: null })).rejects.toMatchObject({
    code: 'USAGE_INVALID',
    message:
      'there are 5 whole days before 2026-01-06: 5 to ask about and one at least to learn from are needed',
  })
})

const dir = await mkdtemp(path.join(tmpdir(), 'freshet-evaluate-'))
afterAll(() => rm(dir, { recursive: true, force: true }))

test('the command prints a table, and writes figures and a chart', async () => {
  const lines = (kind: string) =>
    worldOf(3)
      .filter((event) => event.kind === kind)
      .map((event) => JSON.stringify(asJson(event)))
  for (const [kind, name] of [
    ['impression', 'impressions'],
    ['click', 'clicks'],
  ] as const) {
    await writeFile(path.join(dir, `${name}.jsonl`), `${lines(kind).join('\n')}\n`)
  }
  const [json, svg] = [path.join(dir, 'report.json'), path.join(dir, 'chart.svg')]
  const bin = fileURLToPath(new URL('../../../bin/freshet.js', import.meta.url))
  const args = ['evaluate', '--events', dir, '--days', '2', '--seeds', '1', '--json', json]
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [bin, ...args, '--svg', svg, '--set', 'model.dim=8'],
    { timeout: 60_000, cwd: dir },
  )
  expect(stdout).toContain('full + incremental')
  expect(stdout).toMatch(/popularity, 24 h, every 15 min +\.\d{4}/)
  const report = JSON.parse(await readFile(json, 'utf8')) as EvaluationReport
  expect(report).toMatchObject({ protocol: 'temporal', from: '2026-01-04', to: '2026-01-05' })
  expect(report.rows).toHaveLength(5 + twoTowerRows.length)
  expect(report.cases).toBe(allOf((await questions()).cases).length)
  expect(await readFile(svg, 'utf8')).toMatch(/^<svg [^]*15 min[^]*<\/svg>\n$/)
})

async function questions(): Promise<Questions> {
  return questionsOf(sourceOf(worldOf(3)), config, { days: 2, until: null })
}

function allOf(cases: Questions['cases']): readonly Case[] {
  return [...cases.values()].flat().flatMap((one) => one.cases)
}

function sourceOf(events: readonly SourceEvent[]) {
  const about = { identity: 'test', description: 'test', shareDone: () => null }
  return { ...about, events: () => events }
}

function clicksOf(events: readonly SourceEvent[]): Click[] {
  return events.filter((event): event is Click => event.kind === 'click')
}

/** Users of three tastes; an item in six is new each day, and nobody knows it before its first click. */
function worldOf(seed: number): SourceEvent[] {
  const random = seededRandom(seed)
  const events: SourceEvent[] = []
  for (let day = 0; day < days; day++) {
    for (let n = 0; n < 200; n++) {
      const user = random.between(0, users - 1)
      const highest = Math.min(items, 30 + 5 * day) - 1
      const item = Math.min(highest, random.between(0, Math.floor(highest / 3)) * 3 + (user % 3))
      const eventTimeMs = startMs + day * dayMs + Math.floor((n * dayMs) / 200)
      const requestId = `r${day}-${n}`
      // At noon something new is on everybody's lips for an hour.
      const itemId = n >= 100 && n < 108 ? `news${day}` : `item${item}`
      const userId = `user${user}`
      const page: Impression = {
        ...{ kind: 'impression', requestId, userId, eventTimeMs, scenario: 'home' },
        ...{ items: [itemId], eliminated: [], features: noFeatures },
      }
      const click: Click = {
        ...{ kind: 'click', requestId, userId, itemId, eventTimeMs: eventTimeMs + 1_000 },
        ...{ action: 'click', weight: 1 },
      }
      events.push(page, click)
    }
  }
  return events
}

function asJson(event: SourceEvent) {
  if (event.kind === 'item') return event
  const { requestId: request_id, userId: user_id, eventTimeMs } = event
  const common = { request_id, user_id, event_time: new Date(eventTimeMs).toISOString() }
  return event.kind === 'impression'
    ? { ...common, scenario: event.scenario, items: event.items, eliminated: [] }
    : { ...common, item_id: event.itemId, action: event.action, weight: event.weight }
}
