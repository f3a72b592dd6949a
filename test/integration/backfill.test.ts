import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { encodeExample } from '../../src/records/codec.ts'
import { noFeatures, type Example } from '../../src/records/types.ts'
import { openArchive } from '../../src/runtime/archive/archive.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import { verifyGeneration } from '../../src/runtime/generation/generation.ts'
import { createGenerator } from '../../src/streams/generator/generator.ts'
import { compactorRig } from '../support/compactor-rig.ts'
import { writeLake } from '../support/lake-files.ts'
import { temporaryDir } from '../support/own-servers.ts'
import { runPython } from '../support/python.ts'
import { runCommand } from '../support/role-process.ts'

const dayMs = 86_400_000
const startMs = Date.UTC(2026, 0, 5)

function generated() {
  const world = { users: 100, items: 60, eventsPerSecond: 0.03, slotMs: 600_000 }
  return createGenerator(world).events({ fromMs: startMs, untilMs: startMs + 2 * dayMs })
}

async function rig(settings: object = {}) {
  const dir = await temporaryDir(onTestFinished)
  const file = path.join(dir, 'my config.yaml')
  const own = { stateDir: `${dir}/state`, artifacts: { dir: `${dir}/artifacts` } }
  // Nobody listens there: nothing of this needs Kafka.
  const kafka = { brokers: ['127.0.0.1:1'] }
  const model = { dim: 8, item: { hidden: 8 }, user: { hidden: 8 } }
  await fs.writeFile(
    file,
    JSON.stringify({ ...own, kafka, model, full: { batch: 32 }, ...settings }),
  )
  const freshet = (...words: string[]) => runCommand(words, { dir })
  const store = openDirectoryStore(own.artifacts.dir)
  return { dir, file, lake: path.join(dir, 'lake'), freshet, store, archive: openArchive(store) }
}

test('two days of a lake become a generation, by the commands that are printed', async () => {
  const { file, lake, freshet, store, archive } = await rig()
  await writeLake(lake, generated())
  const filled = await freshet(
    'backfill',
    '--from',
    lake,
    '--until',
    '2026-01-06',
    '--config',
    file,
  )
  expect(filled).toMatchObject({ code: 0 })
  expect(filled.stdout).toMatch(/^7 files, [\d,]+ rows: [\d,]+ impressions, [\d,]+ clicks/)
  expect(filled.stdout).toMatch(/ {2}2026-01-05 +[\d,]+ examples\n {2}2026-01-06 +[\d,]+ examples/)
  const [, command] = /^next: npx freshet (.*)$/m.exec(filled.stdout)!
  expect(command).toBe(`bootstrap --days 2026-01-05..2026-01-06 --config '${file}'`)

  const trained = await freshet('bootstrap', '--days', '2026-01-05..2026-01-06', '--config', file)
  expect(trained).toMatchObject({ code: 0 })
  const [, id] = /generations\.first=(\S+)/.exec(trained.stdout)!
  const made = await verifyGeneration(store, id!)
  expect(made.training?.examples).toBe((await archive.readSeal('2026-01-06'))?.examples)
  expect(made.counts.items).toBeGreaterThan(50)
})

test('what pyarrow and fastavro have written is read, times of every kind among them', async () => {
  const { dir, file, lake, freshet, archive } = await rig()
  await runPython(['pyarrow==26.0.1', 'fastavro==1.12.1'], lakeScript, [lake])
  const args = ['--from', lake, '--until', '2026-01-05', '--config', file]
  const { code, stdout } = await freshet('backfill', ...args)
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining(' 12 clicks') })
  expect(stdout).not.toContain('refused')
  expect((await archive.readSeal('2026-01-05'))?.examples).toBe(12)
  expect(await fs.readdir(path.join(dir, 'state'))).toEqual([])
})

/** Six files of two pages each, one for each kind of time and compression; the clicks on them with a logical type and snappy. */
const lakeScript = `
import datetime, os, sys
import fastavro, pyarrow as pa, pyarrow.parquet as pq
lake = sys.argv[1]
start = datetime.datetime(2026, 1, 5, 12, tzinfo=datetime.timezone.utc)
features = pa.struct([('categorical', pa.map_(pa.string(), pa.list_(pa.string()))), ('numeric', pa.map_(pa.string(), pa.float64()))])
os.makedirs(lake + '/impressions')
os.makedirs(lake + '/clicks')
clicks = []
kinds = [('ms', {'compression': 'gzip'}), ('us', {'compression': 'snappy'}), ('ns', {'compression': 'zstd'}),
    ('ns', {'compression': 'lz4', 'use_deprecated_int96_timestamps': True}),
    ('us', {'compression': 'brotli', 'data_page_version': '2.0'}), ('us', {'compression': 'none', 'use_dictionary': False})]
for file, (unit, options) in enumerate(kinds):
    schema = pa.schema([('request_id', pa.string()), ('user_id', pa.int64()), ('event_time', pa.timestamp(unit, 'UTC')),
        ('items', pa.list_(pa.int64())), ('features', features), ('notes', pa.list_(pa.struct([('text', pa.string())])))])
    pages = []
    for row in range(2):
        time = start + datetime.timedelta(minutes=file, seconds=row)
        about = {'request_id': f'{file}-{row}', 'user_id': 2**62 + file}
        pages.append({**about, 'event_time': time, 'items': [2**60, 7], 'notes': [{'text': 'x'}],
            'features': None if row == 0 else {'categorical': [('device', ['phone'])], 'numeric': [('age', 1.5)]}})
        clicks.append({**about, 'event_time': time + datetime.timedelta(seconds=5), 'item_id': 2**60})
    pq.write_table(pa.Table.from_pylist(pages, schema), f'{lake}/impressions/{file}.parquet', **options)
long = lambda name, **more: {'name': name, 'type': {'type': 'long', **more}}
schema = {'type': 'record', 'name': 'Click', 'fields': [{'name': 'request_id', 'type': 'string'}, long('user_id'),
    long('event_time', logicalType='timestamp-micros'), long('item_id')]}
with open(lake + '/clicks/all.avro', 'wb') as out:
    fastavro.writer(out, fastavro.parse_schema(schema), clicks, codec='deflate')
`

test('the log begins behind the days that were backfilled, and its first day is proved', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 2 })
  const backfilled = '2026-01-02'
  await rig.archive.write(backfilled, { partition: 0, from: 0, to: 1 }, [example()], 'backfill')
  await rig.archive.writeCatalogue(backfilled, [])
  await rig.archive.seal(backfilled, [{ partition: 0, from: 0, to: 1 }], 'run')
  await rig.decide()
  const compactor = rig.start()
  const at = (of: number, hour: number) => `2026-01-0${of}T${hour + 10}:00Z`
  await rig.send(0, [at(1, 0), at(2, 0), at(3, 0), at(2, 1), at(4, 0)])
  await rig.send(1, [at(2, 0), at(3, 0), at(4, 0)])
  const sealed = async () => expect(await rig.archive.readSeal('2026-01-03')).not.toBeNull()
  await vi.waitFor(sealed, { timeout: 20_000, interval: 20 })
  await compactor.stop()
  expect(rig.document().cuts).toMatchObject({ '2026-01-03': [4, 2] })
  expect(Object.keys(rig.document().cuts)[0]).toBe('2026-01-03')
  expect((await rig.archive.readSeal('2026-01-03'))?.examples).toBe(3)
  expect((await rig.archive.readSeal(backfilled))?.examples).toBe(1)

  const { kafka, artifacts } = rig.config
  const audit = (day: string) =>
    runCommand(
      [
        ...['audit', '--day', day, '--set', `kafka.brokers=${JSON.stringify(kafka.brokers)}`],
        ...['--set', `kafka.topicPrefix=${kafka.topicPrefix}`],
        ...['--set', `artifacts.dir=${artifacts.dir}`],
      ],
      { dir: rig.dir },
    )
  const { code, stdout } = await audit('2026-01-03')
  expect(stdout).toContain('every example of the log is in exactly one day')
  expect(code).toBe(0)
  expect((await audit(backfilled)).stderr).toContain('was backfilled from files')
})

test('a day that was backfilled while the log had it, too, is not taken for that of the log', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 1 })
  rig.start()
  await rig.send(0, ['2026-01-03T10:00Z', '2026-01-04T10:00Z'])
  const within = { timeout: 20_000, interval: 20 }
  await vi.waitFor(() => expect(rig.cuts()).toHaveLength(1), within)
  await rig.archive.seal('2026-01-03', [], 'run')
  await rig.decide()
  const failing = () => rig.reports.flatMap(({ body }) => body['failing'] ?? [])
  const message = 'archive/day=2026-01-03 was backfilled while the log had the day, too'
  await vi.waitFor(() => expect(failing().join()).toContain(message), within)
})

function example(): Buffer {
  const made: Example = {
    ...{ kind: 'example', requestId: 'r', userId: 'u', itemId: 'i1', eventTimeMs: startMs },
    ...{ impressionTimeMs: startMs, position: 0, weight: 1, scenario: '', hardNegatives: [] },
    features: noFeatures,
  }
  return encodeExample(made)
}

test('wrong usage says what to do', async () => {
  const { dir, file, freshet } = await rig()
  const nothing = await freshet('backfill', '--from', path.join(dir, 'lake'), '--config', file)
  expect(nothing).toMatchObject({ code: 1, stdout: '' })
  expect(nothing.stderr).toContain('cannot read')
  const noDay = await freshet('backfill', '--from', dir, '--until', '2026-02-30')
  expect(noDay).toMatchObject({ code: 2 })
  expect(noDay.stderr).toContain('It must be a day')
  const empty = await freshet('backfill', '--from', dir, '--config', file)
  expect(empty.stderr).toContain('has no file of impressions: found no .parquet or .avro file')
})
