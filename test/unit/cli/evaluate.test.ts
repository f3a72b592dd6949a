import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'
import { askBaselines } from '../../../src/cli/evaluate/baselines.ts'
import type { Case } from '../../../src/cli/evaluate/cases.ts'
import { scoresOf } from '../../../src/cli/evaluate/figures.ts'
import type { EvaluationReport } from '../../../src/cli/evaluate/report.ts'
import { expectUnlearnt } from '../../../src/cli/evaluate/temporal-command.ts'
import { questionsOf } from '../../../src/cli/evaluate/temporal.ts'
import { askTwoTowers, twoTowerRows, type Questions } from '../../../src/cli/evaluate/two-tower.ts'
import { loadConfig } from '../../../src/config/load.ts'
import type { Click } from '../../../src/records/types.ts'
import { bootstrapGeneration } from '../../../src/runtime/generation/generation.ts'
import type { SourceEvent } from '../../../src/streams/source-event.ts'
import {
  sourceOf,
  startMs,
  worldOf,
  worldSettings,
  writeWorld,
} from '../../support/evaluation-world.ts'

const dayMs = 86_400_000
const hourMs = 3_600_000
const config = loadConfig({ texts: [], environment: {}, settings: worldSettings })

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

test('training goes on from a first generation, behind its day', async () => {
  const asked = await questions()
  const { seed, engine: _, ...model } = config.model
  const first = { ...bootstrapGeneration('first', model, seed, 0), day: '2026-01-03' }
  const figures = await askTwoTowers({ ...asked, first }, config)
  const [fromDay3] = figures
  expect(twoTowerRows[0]!.kind).toBe('frozen')
  // The same parameters, with the days before to learn from.
  const trained = (await askTwoTowers(asked, config))[0]!
  expect(scoresOf(fromDay3!).mrr).toBeLessThan(scoresOf(trained).mrr)
  const days = asked.days.filter(({ day }) => day > '2026-01-03')
  const behind = { ...asked, days: [asked.days[2]!, ...days], first }
  expect(await askTwoTowers(behind, config)).toEqual(figures)
})

test('days that the first generation has learnt are not asked about', () => {
  const { seed, engine: _, ...model } = config.model
  const first = { ...bootstrapGeneration('first', model, seed, 0), day: '2026-01-04' }
  expect(() => expectUnlearnt(first, '2026-01-04')).toThrow('first has learnt 2026-01-04')
  expect(() => expectUnlearnt(first, '2026-01-05')).not.toThrow()
  expect(() => expectUnlearnt(null, '2026-01-04')).not.toThrow()
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
  await writeWorld(dir, 3)
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

function clicksOf(events: readonly SourceEvent[]): Click[] {
  return events.filter((event): event is Click => event.kind === 'click')
}
