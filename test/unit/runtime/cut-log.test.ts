import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { configSchema } from '../../../src/config/schema.ts'
import { CutLogWriter, readCutLog } from '../../../src/runtime/cut-log.ts'
import type { CutLog, CutLogPosition, SegmentHeader } from '../../../src/runtime/cut-log.ts'
import { learnerOptions } from '../../../src/runtime/learner-state.ts'
import type { Logger } from '../../../src/runtime/ports.ts'
import type { Cut } from '../../../src/streams/learner-types.ts'

const options = learnerOptions(configSchema.parse({}).learner)
const run: Pick<SegmentHeader, 'generation' | 'topics' | 'options' | 'order'> = {
  generation: 'g',
  topics: { examples: 'e', items: 'i' },
  options,
}

const cut = (from: number, topic = 'e'): Cut => ({ topic, partition: 3, from, to: from + 10 })

async function folder() {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-test-'))
  onTestFinished(() => fs.rm(dir, { recursive: true }))
  const warnings: string[] = []
  const log = { warn: (_: object, message: string) => void warnings.push(message) } as Logger
  const read = () => readCutLog(dir, log)
  const write = async (before: CutLogPosition | null, cuts: readonly Cut[], more = run) => {
    const writer = await CutLogWriter.open(dir, before, more)
    onTestFinished(() => writer.close().catch(() => {}))
    for (const each of cuts) await writer.append(each)
    await writer.sync()
    return writer
  }
  const file = (segment: number) => path.join(dir, `cuts-00000${segment}.log`)
  return { dir, warnings, read, write, file }
}

const cutsOf = (log: CutLog, from: CutLogPosition | null = null): Cut[] =>
  log.cutsFrom(from).map((logged) => logged.cut)

test('cuts come back in order, from the beginning or from a position', async () => {
  const { read, write } = await folder()
  const writer = await write(null, [cut(0), cut(5, 'i')])
  const middle = writer.position
  await writer.append(cut(10))
  const log = await read()
  expect(cutsOf(log)).toEqual([cut(0), cut(5, 'i'), cut(10)])
  expect(cutsOf(log, middle)).toEqual([cut(10)])
  expect(cutsOf(log, writer.position)).toEqual([])
  expect(log.end).toEqual(writer.position)
})

test('windows and what was published between them stand among the cuts, with the order they were learnt in', async () => {
  const { read, write } = await folder()
  await write(null, [cut(0)])
  const writer = await write((await read()).end, [], { ...run, order: 'event-time' })
  await writer.beginWindow(1_700_000_000_000)
  await writer.append(cut(10))
  await writer.endWindow()
  const steps = (await read()).stepsFrom(null).map(({ step, order }) => [order, step])
  expect(steps).toEqual([
    ['arrival', { kind: 'cut', cut: cut(0) }],
    ['event-time', { kind: 'window', endMs: 1_700_000_000_000 }],
    ['event-time', { kind: 'cut', cut: cut(10) }],
    ['event-time', { kind: 'sync' }],
  ])
  expect(cutsOf(await read())).toEqual([cut(0), cut(10)])
})

test('an empty folder is a log without cuts', async () => {
  const { read } = await folder()
  const log = await read()
  expect([log.end, cutsOf(log)]).toEqual([null, []])
})

test('a frame torn anywhere is cut off, said, and does not come back when the log goes on', async () => {
  const { read, write, file, warnings } = await folder()
  await write(null, [cut(0), cut(10)])
  const whole = await fs.readFile(file(1))
  const frameLength = 8 + JSON.stringify([0, 3, 10, 20]).length
  for (let missing = 1; missing < frameLength; missing++) {
    await fs.writeFile(file(1), whole.subarray(0, whole.length - missing))
    warnings.length = 0
    const log = await read()
    expect(cutsOf(log)).toEqual([cut(0)])
    expect(log.end?.bytes).toBe(whole.length - frameLength)
    expect(warnings).toEqual([expect.stringContaining('torn')])
  }
  const { end } = await read()
  await write(end, [cut(30)])
  expect(cutsOf(await read())).toEqual([cut(0), cut(30)])
})

test('a flipped bit in the last frame is a torn frame', async () => {
  const { read, write, file } = await folder()
  await write(null, [cut(0), cut(10)])
  const bytes = await fs.readFile(file(1))
  bytes[bytes.length - 2]! ^= 1
  await fs.writeFile(file(1), bytes)
  expect(cutsOf(await read())).toEqual([cut(0)])
})

test('what a replaced learner still appends does not count', async () => {
  const { read, write } = await folder()
  const zombie = await write(null, [cut(0)])
  const { end } = await read()
  await write(end, [cut(10)])
  await zombie.append(cut(10))
  const log = await read()
  expect(cutsOf(log)).toEqual([cut(0), cut(10)])
  expect(log.includes(zombie.position)).toBe(false)
  expect(log.includes(end!)).toBe(true)
})

test('two learners cannot begin the same segment', async () => {
  const { write } = await folder()
  await write(null, [cut(0)])
  await expect(write(null, [])).rejects.toMatchObject({ code: 'PRODUCER_FENCED' })
})

test('damage to cuts that counted is an error, except for whom it does not concern', async () => {
  const { read, write, file } = await folder()
  await write(null, [cut(0), cut(10)])
  await write((await read()).end, [cut(20)])
  const second = (await read()).end!
  const bytes = await fs.readFile(file(1))
  bytes[bytes.length - 2]! ^= 1
  await fs.writeFile(file(1), bytes)
  const log = await read()
  expect(() => log.cutsFrom(null)).toThrow('cuts-000001.log is damaged at byte')
  expect(cutsOf(log, second)).toEqual([])
})

test('each cut knows the options it was learnt with', async () => {
  const { read, write } = await folder()
  await write(null, [cut(0)])
  const next = { ...run, options: { ...options, learningRate: 0.5 } }
  await write((await read()).end, [cut(10)], next)
  const rates = (await read()).cutsFrom(null).map((logged) => logged.options.learningRate)
  expect(rates).toEqual([options.learningRate, 0.5])
})
