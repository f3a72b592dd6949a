import path from 'node:path'
import { expect, inject, onTestFinished, test } from 'vitest'
import { encodeReport } from '../../src/records/codec.ts'
import type { Report } from '../../src/records/types.ts'
import {
  cutReport,
  indexedReport,
  learnedReport,
  loadedReport,
  trainedReport,
} from '../support/control-world.ts'
import { deployment } from '../support/deployment.ts'
import { startRole } from '../support/role-process.ts'

const day = '2026-01-05'

test('an operator watches a switch, rolls back, and is told why not', async () => {
  const target = await deployment(onTestFinished, {
    ...{ brokers: inject('kafkaBrokers'), redisUrl: inject('redisUrl') },
    settings: { kafka: { partitions: 2 } },
  })
  const { kafka, topics, dir } = target
  expect(await target.run('rollback')).toMatchObject({
    ...{ code: 1, stdout: '' },
    stderr: expect.stringContaining('no controller has written a control document yet'),
  })
  const controller = target.role('controller')
  const { live } = await controller.waitForLog(({ msg }) => msg === 'controlling')
  const bootstrap = String(live)
  const args = ['watch', '--json', '--config', path.join(dir, 'freshet.yaml')]
  const watch = startRole(onTestFinished, { name: 'watch', dir, args })
  const event = (wanted: string) => watch.waitForLog((line) => line['event'] === wanted)
  expect((await event('watching'))['generation']).toBe(bootstrap)

  const producer = await kafka.producer()
  onTestFinished(() => producer.close())
  const send = (...reports: readonly Report[]) => {
    const atMs = Date.now()
    return producer.send(
      reports.map((report) => ({
        ...{ topic: topics.reports, key: report.role, timestampMs: atMs },
        value: encodeReport({ ...report, atMs }),
      })),
    )
  }
  const repeating = setInterval(() => {
    void send(cutReport(day), trainedReport('g1', day), indexedReport('g1'))
    void send(loadedReport([bootstrap, 'g1']))
    void send(learnedReport({ [bootstrap]: [10, 20], g1: [10, 20] }))
  }, 200)
  onTestFinished(() => clearInterval(repeating))
  expect((await event('switch'))['message']).toBe(`g1 is live instead of ${bootstrap}`)

  const status = await target.run('status')
  expect(status.stdout).toContain(`previous   ${bootstrap}  was live before; freshet rollback goes`)
  expect(await target.run('rollback')).toEqual({
    ...{ code: 0, stdout: `${bootstrap} is live again; g1 is rejected\n`, stderr: '' },
  })
  expect((await event('rollback'))['message']).toBe(`${bootstrap} is live instead of g1 (rollback)`)
  expect(await target.run('rollback')).toMatchObject({
    ...{ code: 1, stdout: '' },
    stderr: expect.stringContaining('refused: g1 is what was rolled back from'),
  })
  expect((await event('refused'))['message']).toContain('refused: g1 is what was rolled back from')
  expect(await target.run('reject', bootstrap)).toMatchObject({ code: 1 })
  expect(await target.run('approve', 'nobody')).toMatchObject({ code: 1 })
  expect(await watch.stop()).toBe(0)

  await controller.stop()
  const unanswered = await target.run('rollback', '--to', 'g1', '--timeout', '1500')
  expect(unanswered.code).toBe(1)
  expect(unanswered.stderr).toContain('no controller has answered within 1500 ms')
}, 60_000)
