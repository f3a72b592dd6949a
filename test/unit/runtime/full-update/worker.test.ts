import fs from 'node:fs/promises'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { loadConfig } from '../../../../src/config/load.ts'
import { fullUpdateJob } from '../../../../src/runtime/full-update/job.ts'
import { openFullUpdateThread } from '../../../../src/runtime/full-update/worker.ts'
import { silentLog, temporaryDir } from '../../../support/own-servers.ts'

const config = loadConfig({ texts: [], environment: {}, settings: [] })
const jobOf = (day: string) => fullUpdateJob(config, { day, parent: 'g', cuts: null })
const hooks = { onProgress: () => undefined, signal: new AbortController().signal }

/** Answers with its own number of runs; the day says how it behaves. */
const script = `
import { parentPort } from 'node:worker_threads'
let runs = 0
parentPort.on('message', (request) => {
  const say = (message) => parentPort.postMessage(message)
  if (request.kind === 'close') return parentPort.close()
  if (request.kind === 'abort') return say({ kind: 'failed', code: 'ABORTED', message: 'stopped' })
  const { day } = request.job
  runs++
  if (day === 'exits') process.exit(3)
  if (day === 'throws') throw new Error('out of luck')
  if (day === 'fails') return say({ kind: 'failed', code: 'FILE_MISSING', message: 'no such day' })
  if (day === 'waits') return say({ kind: 'progress', progress: { share: 0.5, etaMs: 1, examples: 7 } })
  say({ kind: 'done', outcome: { generation: String(runs), examples: 1, verdict: 'passed', why: '' } })
})
`

async function open() {
  const file = path.join(await temporaryDir(onTestFinished), 'thread.mjs')
  await fs.writeFile(file, script)
  const thread = openFullUpdateThread(silentLog, pathToFileURL(file))
  onTestFinished(() => thread.close())
  return thread
}

test('one thread is used again and again, also after a run that failed', async () => {
  const thread = await open()
  expect((await thread.run(jobOf('a'), hooks)).generation).toBe('1')
  await expect(thread.run(jobOf('fails'), hooks)).rejects.toMatchObject({
    code: 'FILE_MISSING',
    message: 'no such day',
  })
  expect((await thread.run(jobOf('b'), hooks)).generation).toBe('3')
})

test.each(['exits', 'throws'])('after a thread that %s the next run has a new one', async (day) => {
  const thread = await open()
  expect((await thread.run(jobOf('a'), hooks)).generation).toBe('1')
  await expect(thread.run(jobOf(day), hooks)).rejects.toMatchObject({ code: 'SERVER_FAILED' })
  expect((await thread.run(jobOf('b'), hooks)).generation).toBe('1')
})

test('progress comes through, and the signal stops the run', async () => {
  const thread = await open()
  const stop = new AbortController()
  const told: number[] = []
  const onProgress = ({ examples }: { examples: number }) => {
    told.push(examples)
    stop.abort()
  }
  const run = thread.run(jobOf('waits'), { onProgress, signal: stop.signal })
  await expect(run).rejects.toMatchObject({ code: 'ABORTED' })
  expect(told).toEqual([7])
  await expect(thread.run(jobOf('a'), { onProgress, signal: stop.signal })).rejects.toMatchObject({
    code: 'ABORTED',
  })
})

test('two runs at once are a mistake', async () => {
  const thread = await open()
  const stop = new AbortController()
  const first = thread.run(jobOf('waits'), { ...hooks, signal: stop.signal })
  await expect(thread.run(jobOf('a'), hooks)).rejects.toMatchObject({ code: 'INVARIANT_VIOLATED' })
  stop.abort()
  await expect(first).rejects.toMatchObject({ code: 'ABORTED' })
})
