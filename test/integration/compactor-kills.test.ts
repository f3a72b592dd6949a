import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { fullGenerationId } from '../../src/runtime/full-update/job.ts'
import { loadGeneration } from '../../src/runtime/generation/generation.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import {
  compactorRig,
  daysOfArchive,
  daysOfLog,
  expectContiguous,
  generation,
} from '../support/compactor-rig.ts'
import type { CompactorRig, Sent } from '../support/compactor-rig.ts'
import { startRole } from '../support/role-process.ts'
import type { RoleProcess } from '../support/role-process.ts'
import { seededRandom } from '../support/seeded-random.ts'
import type { SeededRandom } from '../support/seeded-random.ts'

const within = { timeout: 60_000, interval: 30 }
const partitions = 2
const items = ['i0', 'i1', 'i2', 'i3', 'i4', 'i5', 'i6']
const days = ['2026-01-01', '2026-01-02', '2026-01-03']
const settings = { archive: { rollBytes: 2_000, rollMs: 200 } }
/** A dead member is noticed soon, so that most of the time goes to being at work. */
const noticedSoon = { sessionTimeoutMs: 1_000, heartbeatIntervalMs: 100, rebalanceTimeoutMs: 1_000 }

function startProcess(rig: CompactorRig, name: string): RoleProcess {
  const file = path.join(rig.dir, `${name}.yaml`)
  // JSON is YAML.
  fs.writeFileSync(file, JSON.stringify(rig.config))
  return startRole(onTestFinished, { name, args: ['compactor', '--config', file], dir: rig.dir })
}

/** Clicks of one day in the order of a log: some late, and some of the day before. */
function clicksOf(day: string, count: number, random: SeededRandom): Sent[] {
  const begin = Date.parse(`${day}T00:00:00Z`)
  return Array.from({ length: count }, (_, i) => {
    const at = begin + (i * 86_400_000) / count
    const late = i > 0 && random.chance(0.1) ? random.between(0, 86_400_000) : 0
    return new Date(at - late).toISOString()
  })
}

/** Sends all days in pieces, and disturbs after each. */
async function play(rig: CompactorRig, seed: number, disturb: () => Promise<void>): Promise<void> {
  const random = seededRandom(seed)
  for (const day of [...days, '2026-01-04']) {
    for (let partition = 0; partition < partitions; partition++) {
      await rig.send(partition, clicksOf(day, 60, random))
      await disturb()
    }
  }
}

const isMoment = /^(archiving|proposing|sealed|the full update)/

/** Kills it at one of the moments that matter, or between two, and starts it again. */
async function killAtWork(compactor: RoleProcess, random: SeededRandom): Promise<string> {
  const before = compactor.log().length
  compactor.start()
  const lines = () =>
    compactor
      .log()
      .slice(before)
      .filter(({ msg }) => isMoment.test(msg))
  const count = random.between(1, 6)
  await vi.waitFor(() => expect(lines().length).toBeGreaterThan(0), within)
  const wait = { timeout: 2_000, interval: 5 }
  await vi.waitFor(() => expect(lines().length).toBeGreaterThanOrEqual(count), wait).catch(() => {})
  await sleep(random.between(0, 30))
  await compactor.kill()
  return lines().at(-1)!.msg
}

/** The day's content, ranges and generations are what they are without a kill: the cuts say which records a day has. */
async function expectWhole(rig: CompactorRig): Promise<string> {
  const ids = days.reduce<string[]>(
    (chain, day) => [...chain, fullGenerationId(day, chain.at(-1) ?? generation)],
    [],
  )
  await vi.waitFor(() => expect(Object.keys(rig.document().states)).toContain(ids.at(-1)), within)
  const { cuts } = rig.document()
  expect(Object.keys(cuts)).toEqual(days)
  const inLog = await daysOfLog(rig, cuts)
  expect(await daysOfArchive(rig, days)).toEqual(inLog)
  await expectContiguous(rig)
  for (const day of days) {
    const { examples, hash } = (await rig.archive.readSeal(day))!
    expect({ examples, hash }).toEqual(inLog[day])
  }
  expect(rig.document().kept).toEqual([generation, ...ids])
  return ids.at(-1)!
}

test('killed at any moment, a compactor leaves an archive without gaps and doubles, and the same generations', async () => {
  const rig = await compactorRig(onTestFinished, {
    ...{ partitions, settings, kafka: noticedSoon, isTransactional: true },
  })
  await rig.items(items)
  await rig.decide()
  const random = seededRandom(11)
  const compactor = startProcess(rig, 'compactor')
  await compactor.kill()
  const moments: string[] = []
  await play(rig, 1, async () => {
    moments.push(await killAtWork(compactor, random))
  })
  // It was killed in different states: what the last line says is not always the same.
  expect(moments).toHaveLength(8)
  expect(new Set(moments).size).toBeGreaterThan(1)
  compactor.start()
  const last = await expectWhole(rig)
  const store = openDirectoryStore(rig.config.artifacts.dir)
  const killed = await loadGeneration(store, last, { for: 'training' })

  // The same log again, by a compactor that nobody disturbs: the same tables, to the bit.
  const other = await compactorRig(onTestFinished, { partitions })
  await other.items(items)
  await other.decide()
  for (let partition = 0; partition < partitions; partition++) await copy(rig, other, partition)
  other.start()
  await expectWhole(other)
  const undisturbed = await loadGeneration(openDirectoryStore(other.config.artifacts.dir), last, {
    for: 'training',
  })
  // The other log has no ends of transactions, so its offsets are others.
  const comparable = ({ createdAtMs: _t, cuts: _c, training, ...rest }: typeof killed) => ({
    ...rest,
    training: { ...training, seconds: 0 },
  })
  expect(comparable(killed)).toEqual(comparable(undisturbed))
})

async function copy(from: CompactorRig, to: CompactorRig, partition: number): Promise<void> {
  const end = (await from.kafka.offsets(from.topics.examples))[partition]!.high
  const values: Buffer[] = []
  await from.kafka.readRange({ topic: from.topics.examples, partition }, 0, end, ({ records }) => {
    for (const { value } of records) values.push(Buffer.from(value!))
  })
  await to.send(partition, values)
}

test('a compactor that was frozen while another took over does nothing any more', async () => {
  const rig = await compactorRig(onTestFinished, { partitions, settings, isTransactional: true })
  await rig.decide()
  const first = startProcess(rig, 'first')
  const random = seededRandom(3)
  const [day] = days
  await rig.send(0, clicksOf(day!, 30, random))
  await vi.waitFor(() => expect(rig.reports.length).toBeGreaterThan(0), within)
  const pid = String(first.pid())
  first.freeze()
  const second = startProcess(rig, 'second')
  await rig.send(1, clicksOf(day!, 30, random))
  await vi.waitFor(() => expect(rig.reports.at(-1)?.instance).not.toBe(pid), within)
  await rig.send(0, clicksOf(day!, 30, random))
  first.thaw()
  // Whichever it hears of first: that it is no member any more, or that its transactional id is another's.
  await first.waitForLog(({ msg }) => /fell out of|begins anew/.test(msg))
  for (const next of [...days.slice(1), '2026-01-04']) {
    for (let partition = 0; partition < partitions; partition++) {
      await rig.send(partition, clicksOf(next, 30, random))
    }
  }
  await expectWhole(rig)
  expect(second.log().filter(({ level }) => level >= 50)).toEqual([])
})
