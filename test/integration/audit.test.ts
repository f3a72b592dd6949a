import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { DayAudit } from '../../src/cli/audit.ts'
import { compactorRig } from '../support/compactor-rig.ts'
import type { CompactorRig } from '../support/compactor-rig.ts'
import { runCommand } from '../support/role-process.ts'

const within = { timeout: 20_000, interval: 20 }
const day = '2026-01-02'

/** Three days, two of them cut and sealed by a compactor. */
async function archivedRig(): Promise<CompactorRig> {
  const rig = await compactorRig(onTestFinished, { partitions: 2 })
  await rig.decide()
  const compactor = rig.start()
  const at = (of: number, hour: number) => `2026-01-0${of}T${hour + 10}:00Z`
  await rig.send(0, [at(1, 0), at(1, 1), at(2, 0), at(1, 2), Buffer.from('no record'), at(3, 0)])
  await rig.send(1, [at(1, 0), at(2, 0), at(2, 1), { heartbeat: '2026-01-03T00:00Z' }, at(3, 0)])
  await vi.waitFor(async () => expect(await rig.archive.readSeal(day)).not.toBeNull(), within)
  await compactor.stop()
  return rig
}

async function audit(
  rig: CompactorRig,
  of = day,
): Promise<{ code: number | null; audit: DayAudit; text: string }> {
  const { kafka, artifacts } = rig.config
  const settings = [
    `kafka.brokers=${JSON.stringify(kafka.brokers)}`,
    ...[`kafka.topicPrefix=${kafka.topicPrefix}`, `artifacts.dir=${artifacts.dir}`],
  ]
  const args = ['audit', '--day', of, ...settings.flatMap((setting) => ['--set', setting])]
  const text = await runCommand(args, { dir: rig.dir })
  const json = await runCommand([...args, '--json'], { dir: rig.dir })
  expect(json.code).toBe(text.code)
  const printed = json.stdout.startsWith('{') ? json.stdout : '{}'
  return {
    code: json.code,
    audit: JSON.parse(printed) as DayAudit,
    text: text.stdout + text.stderr,
  }
}

test('a day that is in the archive as it is in the log is proved, with its counts and its hash', async () => {
  const rig = await archivedRig()
  const seal = await rig.archive.readSeal(day)
  const { code, audit: found, text } = await audit(rig)
  const content = { examples: 4, hash: seal?.hash }
  expect(found).toMatchObject({ day, log: content, archive: content, seal: content })
  expect(found.partitions).toEqual([
    { partition: 0, from: 2, to: 5, inLog: 2, archived: 2, stragglers: 1, unreadable: 1 },
    { partition: 1, from: 1, to: 3, inLog: 2, archived: 2, stragglers: 0, unreadable: 0 },
  ])
  expect([found.problems, found.unproven, code]).toEqual([[], [], 0])
  expect(text).toContain('every example of the log is in exactly one day')
  expect((await audit(rig, '2026-01-01')).code).toBe(0)
})

test('a file that is missing, one too many, and examples that are not those of the log are named', async () => {
  const rig = await archivedRig()
  const folder = path.join(rig.config.artifacts.dir, 'archive', `day=${day}`)
  const [file, other] = (await rig.archive.ranges(day)).map(
    ({ partition, from, to }) => `examples-${partition}-${from}-${to}.avro`,
  )
  const bytes = await fs.readFile(path.join(folder, file!))

  await fs.rm(path.join(folder, file!))
  const missing = await audit(rig)
  expect(missing.code).toBe(1)
  expect(missing.audit.problems.join('\n')).toContain(file)

  // A file of the same length with examples of another partition.
  await fs.copyFile(path.join(folder, other!), path.join(folder, file!))
  const wrong = await audit(rig)
  expect(wrong.code).toBe(1)
  expect(wrong.audit.problems.join('\n')).toContain('not those of the log')
  expect(wrong.audit.problems.join('\n')).toContain('not those that were sealed')
  expect(wrong.text).toContain('WRONG')

  await fs.writeFile(path.join(folder, file!), bytes)
  await rig.archive.write('2026-01-05', { partition: 1, from: 2, to: 9 }, [])
  const doubled = await audit(rig)
  expect(doubled.code).toBe(1)
  expect(doubled.audit.problems).toEqual([
    'partition 1: [2, 9) is in the archive as 2026-01-05, too',
  ])
})

test('days that do not join, and records of a later day, are named', async () => {
  const rig = await archivedRig()
  await rig.control({ cuts: { '2026-01-01': [2, 1], [day]: [6, 3] } })
  const { code, audit: found } = await audit(rig)
  expect(code).toBe(1)
  expect(found.problems).toEqual(
    expect.arrayContaining([
      'partition 0: the day is [2, 6), the archive holds [2, 5)',
      'partition 0: offset 5 (2026-01-03T10:00:00.000Z) is of a later day',
      'partition 0: the log has 3 examples, the archive 2',
    ]),
  )
})

test('a day that has not ended is no day to audit', async () => {
  const rig = await archivedRig()
  const { code, text } = await audit(rig, '2026-01-03')
  expect(code).not.toBe(0)
  expect(text).toContain('the control document has cut 2026-01-01 to 2026-01-02')
})

test('without the log it says what cannot be proved', async () => {
  const rig = await archivedRig()
  await rig.forget(0, 3)
  const { code, audit: found, text } = await audit(rig)
  expect([found.problems, found.log, code]).toEqual([[], null, 0])
  expect(found.archive).toEqual(found.seal)
  expect(found.unproven).toHaveLength(1)
  expect(found.unproven[0]).toMatch(/^partition 0: the topic begins at 3 by now, the day at 2/)
  expect(text).toContain('nothing wrong, as far as can be told')
})
