import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { expect, inject, onTestFinished, test } from 'vitest'
import { liveSystem } from '../support/live-system.ts'
import { temporaryDir } from '../support/own-servers.ts'
import { cleanEnvironment, runCommand } from '../support/role-process.ts'
import { clickTrial } from '../support/trials.ts'

async function freshet(
  args: readonly string[],
  options: { readonly dir?: string; readonly env?: Readonly<Record<string, string>> } = {},
) {
  const { dir = await temporaryDir(onTestFinished), env = {} } = options
  return runCommand(args, { dir, env })
}

function linesOf(text: string): Record<string, unknown>[] {
  const lines = text.trimEnd().split('\n')
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
}

test.for([
  [['recal', '--user', '1'], "unknown command 'recal'", 'Did you mean recall?'],
  [['recall', '--usr', '1'], "unknown option '--usr'", 'Did you mean --user?'],
  [['status', '--jsn'], "unknown option '--jsn'", 'Did you mean --json?'],
  [['recall', '--user', '1', '-k', '0'], "'0' is invalid", 'at least 1'],
  [
    ['map', '--check', 'x', '--source', 'clikcs'],
    'no source is called clikcs',
    'did you mean clicks?',
  ],
  [['start', '--speed', 'fast'], "'fast' is invalid", 'a number above 0, or max'],
  [['start', '--days', '1', '--rate', '0'], "'0' is invalid", 'a number above 0'],
  [['evaluate', '--rank-with', 'pod'], "'pod' is invalid", 'memory, pods'],
] as const)(
  '%j is a wrong usage: exit 2, and what would be right',
  async ([args, what, remedy]) => {
    const { code, stderr, stdout } = await freshet(args)
    expect(stderr).toContain(what)
    expect(stderr).toContain(remedy)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  },
)

test('every command explains itself', async () => {
  const { code, stdout } = await freshet(['--help'])
  expect(code).toBe(0)
  const commands = [...stdout.matchAll(/^ {2}([a-z-]+) (?:\[|<| )/gm)].map((match) => match[1]!)
  expect(commands).toEqual(expect.arrayContaining(['start', 'recall', 'map', 'joiner', 'pod']))
  const helps = await Promise.all(
    ['recall', 'map', 'joiner'].map((name) => freshet([name, '--help'])),
  )
  for (const help of helps) {
    expect(help.code).toBe(0)
    expect(help.stdout).toMatch(/^Usage: freshet [a-z]+/)
  }
})

test('all problems of a configuration at once, each with its place', async () => {
  const dir = await temporaryDir(onTestFinished)
  await fs.writeFile(
    path.join(dir, 'mine.yaml'),
    'kafka:\n  partitons: 3\njoiner:\n  windowMs: -1\n',
  )
  const { code, stderr } = await freshet(
    ['joiner', '--config', 'mine.yaml', '--set', 'learner.syncMs=often'],
    { dir, env: { FRESHET_REDIS_ULR: 'redis://h' } },
  )
  expect(code).toBe(1)
  expect(stderr).toContain('the configuration has 4 problems')
  expect(stderr).toMatch(/mine\.yaml:2.*partitons.*did you mean partitions\?/)
  expect(stderr).toMatch(/mine\.yaml:4.*joiner\.windowMs/)
  expect(stderr).toContain('learner.syncMs')
  expect(stderr).toMatch(/FRESHET_REDIS_ULR.*FRESHET_REDIS_URL/)
})

test('the effective configuration shows no secret', async () => {
  const { code, stdout } = await freshet(['config', '--set', 'kafka.partitions=7'], {
    env: {
      FRESHET_KAFKA_PASSWORD: 'hunter2',
      FRESHET_REDIS_URL: 'redis://me:hunter3@there:6379',
    },
  })
  expect(code).toBe(0)
  expect(stdout).toContain('partitions: 7')
  expect(stdout).toContain('redis://me:********@there:6379')
  expect(stdout).not.toMatch(/hunter/)
})

test.for([
  [['ingest', '--config', 'absent.yaml'], 'absent.yaml'],
  [['map', '--check', 'absent.jsonl', '--source', 'clicks'], 'absent.jsonl'],
  [['start', '--events', 'absent.jsonl'], 'absent.jsonl'],
] as const)('%j names the missing file', async ([args, file]) => {
  const { code, stderr } = await freshet(args)
  expect(stderr).toContain(file)
  expect(stderr).not.toContain('    at ')
  expect(code).toBe(1)
})

test('a taken port is named, with what to do', async () => {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => new Promise((resolve) => server.close(() => resolve())))
  const { port } = server.address() as net.AddressInfo
  const { code, stderr } = await freshet(['ingest', '--set', `metrics.port=${port}`])
  expect(stderr).toContain(`metrics.port ${port}`)
  expect(stderr).toContain('--set metrics.port=0')
  expect(code).toBe(1)
})

test.for(['status', 'watch'])(
  '%s that waits for a Kafka says so, and ends at Ctrl-C',
  async (name) => {
    const main = path.resolve(import.meta.dirname, '../../dist/main.js')
    const env = { ...cleanEnvironment(), FRESHET_KAFKA_BROKERS: '127.0.0.1:1' }
    const cwd = await temporaryDir(onTestFinished)
    const child = spawn(process.execPath, [main, name], {
      ...{ cwd, env, stdio: ['ignore', 'ignore', 'pipe'] as const, timeout: 60_000 },
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    const [said] = (await once(child.stderr.setEncoding('utf8'), 'data')) as [string]
    expect(said).toContain('nobody answers at 127.0.0.1:1 yet')
    const ended = once(child, 'exit')
    child.kill('SIGINT')
    expect(await ended).toEqual([null, 'SIGINT'])
  },
)

test('map --check prints what is mapped, and which field of which line fails', async () => {
  const dir = await temporaryDir(onTestFinished)
  const good = { page: { id: 'p1' }, who: 'u1', track: 't1', at: 1_700_000_000 }
  const lines = [good, { ...good, who: undefined }, { ...good, at: 'noon' }]
  await fs.writeFile(
    path.join(dir, 'plays.jsonl'),
    lines.map((line) => JSON.stringify(line)).join('\n'),
  )
  const fields = {
    ...{ request_id: 'page.id', user_id: 'who', item_id: 'track' },
    ...{ event_time: { path: 'at', unit: 's' }, action: { constant: 'play' } },
  }
  const config = { sources: { plays: { topic: 'media.plays', record: 'click', fields } } }
  await fs.writeFile(path.join(dir, 'mine.yaml'), JSON.stringify(config))
  const args = ['map', '--check', 'plays.jsonl', '--source', 'plays', '--config', 'mine.yaml']
  const { code, stdout } = await freshet(args, { dir })
  const [mapped, second, third, last] = stdout.trimEnd().split('\n')
  expect(JSON.parse(mapped!)).toMatchObject({
    ...{ kind: 'click', requestId: 'p1', userId: 'u1', itemId: 't1', action: 'play' },
    eventTimeMs: new Date(1_700_000_000_000).toISOString(),
  })
  expect(second).toMatch(/^plays\.jsonl:2: RECORD_INVALID: .*who/)
  expect(third).toMatch(/^plays\.jsonl:3: RECORD_INVALID: .*at/)
  expect(last).toBe('1 lines mapped, 2 failed')
  expect(code).toBe(1)
})

test('recall, events, examples, dead-letters and status against running roles', async () => {
  const system = await liveSystem(onTestFinished, {
    ...{ brokers: inject('kafkaBrokers'), redisUrl: inject('redisUrl'), eventsPerSecond: 50 },
  })
  const { target, producer, topics } = system
  await clickTrial(system, 'cli-user', 'cli-click')
  await producer.send({ topic: topics.clicks, messages: [{ key: 'k', value: '{"user_id": 7,' }] })

  const json = await target.run('recall', '--user', 'cli-user', '-k', '3', '--json')
  expect(json).toMatchObject({ code: 0, stderr: '' })
  const reply = JSON.parse(json.stdout) as { status: string; items: { title: string }[] }
  expect(reply).toMatchObject({ status: 'OK', generation: expect.stringMatching(/^bootstrap-/) })
  expect(reply.items).toHaveLength(3)
  expect(reply.items[0]!.title).not.toBe('')
  const text = await target.run('recall', '--user', 'cli-user', '-k', '3')
  expect(text.stdout).toMatch(/rank +score +item\n +1 .*\n +2 .*\n +3 /)
  expect(text.stdout).toMatch(/status +OK\n/)

  const events = await target.run('events', '--last', '10000')
  const ofUser = linesOf(events.stdout).filter(({ userId }) => userId === 'cli-user')
  expect(ofUser.map(({ kind }) => kind).sort()).toEqual(['click', 'impression'])
  const examples = await target.run('examples', '--last', '10000')
  expect(linesOf(examples.stdout)).toContainEqual(
    expect.objectContaining({ kind: 'example', requestId: 'cli-click' }),
  )
  const letters = await target.run('dead-letters')
  expect(linesOf(letters.stdout)).toContainEqual(
    expect.objectContaining({
      role: 'ingest',
      sourceTopic: topics.clicks,
      original: '{"user_id": 7,',
    }),
  )

  const status = await target.run('status', '--json')
  const { control, lags, reports } = JSON.parse(status.stdout) as {
    control: { live: string }
    lags: { role: string }[]
    reports: { role: string }[]
  }
  expect(control.live).toMatch(/^bootstrap-/)
  expect(new Set(lags.map(({ role }) => role))).toEqual(new Set(['ingest', 'joiner']))
  expect(reports.map(({ role }) => role)).toEqual(expect.arrayContaining(['recall', 'learner']))
  expect((await target.run('status')).stdout).toContain(`live       ${control.live}`)
})
