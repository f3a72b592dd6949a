import { randomUUID } from 'node:crypto'
import fs from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { createGenerator } from '../../src/streams/generator/generator.ts'
import { placeholders } from './documented-plan.ts'
import { writeWorld } from './evaluation-world.ts'
import { writeLake } from './lake-files.ts'
import { root } from './documented-commands.ts'
import { cacheDir, temporaryDir } from './own-servers.ts'
import type { OnEnd } from './own-servers.ts'
import { linkClone, PageShell } from './page-shell.ts'

/** What the commands of a page find where they are run. */
export interface PageWorld {
  readonly shell: PageShell
  /** The command with what a reader would put in. */
  fill(text: string): string
}

export interface Servers {
  readonly brokers: string
  readonly redisUrl: string
}

/** A running `npm start`: the folder it was started in, and where its gateway listens. */
export interface Running {
  readonly dir: string
  readonly gatewayPort: number
}

const dayMs = 86_400_000
const lakeFromMs = Date.UTC(2026, 0, 5)

/**
 * A folder for one fence: beside `running`, whose `.freshet` it shares, or beside nothing but Kafka and Redis.
 * @param tools a folder of `toolsDir`
 */
export async function pageWorld(
  onEnd: OnEnd,
  tools: string,
  where: Running | Servers,
): Promise<PageWorld> {
  const dir = await temporaryDir(onEnd)
  const prefix = `t-${randomUUID().slice(0, 8)}`
  const isBeside = 'dir' in where
  await linkClone(dir, isBeside ? where.dir : undefined)
  const servers = isBeside ? await serversOf(where) : { ...where, metricsUrl: '' }
  const gatewayPort = await freePort()
  await writeInputs(dir)
  const own = isBeside
    ? { kafka: { brokers: [servers.brokers] }, redis: { url: servers.redisUrl } }
    : {
        kafka: { brokers: [servers.brokers], topicPrefix: prefix },
        redis: { url: servers.redisUrl, keyPrefix: prefix },
      }
  await fs.writeFile(path.join(dir, 'my.yaml'), JSON.stringify(own))
  const shell = new PageShell(dir, {
    PATH: [tools, path.join(cacheDir, 'prometheus'), process.env['PATH']].join(':'),
    CURL_HOME: tools,
    ...{ FRESHET_METRICS_PORT: '0', FRESHET_GATEWAY_PORT: `${gatewayPort}` },
    ...(isBeside
      ? await generationsOf(where.dir)
      : { FRESHET_KAFKA_BROKERS: servers.brokers, FRESHET_REDIS_URL: servers.redisUrl }),
  })
  onEnd(() => shell.close())
  let port = isBeside ? where.gatewayPort : gatewayPort
  const fill = (text: string): string => {
    // From here on the page speaks of the gateway that it starts.
    if (text.startsWith('freshet gateway')) port = gatewayPort
    // A replay waits for the generation of each day: one of few pages is enough for it.
    const here = text.startsWith('npm start') ? text.replace('PATH', 'pages') : text
    const filled = placeholders
      .reduce((now, [what, value]) => now.replace(what, value), here)
      .replaceAll('redis://host:port', servers.redisUrl)
      .replaceAll('host:port', servers.brokers)
      .replaceAll('127.0.0.1:8080', `127.0.0.1:${port}`)
      .replaceAll('http://HOST:9464', servers.metricsUrl)
    if (isBeside || !/^npm start|^freshet import/.test(filled)) return filled
    return `${filled}${/^npm start$/.test(filled) ? ' --' : ''} --set kafka.topicPrefix=${prefix} --set redis.keyPrefix=${prefix}`
  }
  return { shell, fill }
}

/** `npx` and `freshet` as they are in a clone, without the second that npx thinks about it. */
export async function toolsDir(onEnd: OnEnd): Promise<string> {
  const dir = await temporaryDir(onEnd)
  const freshet = path.join(root, 'bin', 'freshet.js')
  const tools = {
    npx: 'exec "$@"',
    freshet: `exec node '${freshet}' "$@"`,
    LIVE: `for i in $(seq 60); do freshet status --json | grep -q '"live":"'"$1"'"' && exit; sleep 0.5; done; exit 1`,
  }
  for (const [name, script] of Object.entries(tools)) {
    await fs.writeFile(path.join(dir, name), `#!/bin/bash\n${script}\n`, { mode: 0o755 })
  }
  // Of curl: a status that says no is a failure.
  await fs.writeFile(path.join(dir, '.curlrc'), 'fail\n')
  return dir
}

export async function freePort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function serversOf({ dir }: Running): Promise<Servers & { readonly metricsUrl: string }> {
  const text = await fs.readFile(path.join(dir, '.freshet/instance.json'), 'utf8')
  const { metricsUrl, settings } = JSON.parse(text) as {
    metricsUrl: string
    settings: { kafka: { brokers: string[] }; redis: { url: string } }
  }
  return { brokers: settings.kafka.brokers[0]!, redisUrl: settings.redis.url, metricsUrl }
}

/** Of the two days of the tutorial, where they are over. */
async function generationsOf(dir: string): Promise<Record<string, string>> {
  const names = await fs.readdir(path.join(dir, '.freshet/artifacts/generations'))
  const [first, second] = names.filter((name) => name.startsWith('full-')).sort()
  return first === undefined || second === undefined ? {} : { FIRST: first, SECOND: second }
}

/** Small files by the names that the pages give them. */
async function writeInputs(dir: string): Promise<void> {
  await fs.mkdir(path.join(dir, 'events'))
  await writeWorld(path.join(dir, 'events'), 3)
  await fs.copyFile(path.join(dir, 'events', 'clicks.jsonl'), path.join(dir, 'sample.jsonl'))
  const world = { users: 100, items: 60, eventsPerSecond: 0.03, slotMs: 600_000 }
  const range = { fromMs: lakeFromMs, untilMs: lakeFromMs + 2 * dayMs }
  await writeLake(path.join(dir, 'lake'), createGenerator(world).events(range))
  await fs.cp(path.join(root, 'test/fixtures/replay/jsonl'), path.join(dir, 'pages'), {
    recursive: true,
  })
  await fs.cp(path.join(root, 'test/fixtures/pytorch/generation'), path.join(dir, 'trained'), {
    recursive: true,
  })
  for (const name of ['train.txt', 'test.txt']) {
    const first = name === 'train.txt' ? 0 : 4
    const lines = Array.from({ length: 20 }, (_, user) =>
      [user, ...[0, 1, 2, 3].map((n) => (first + n) * 2 + (user % 2))].join(' '),
    )
    await fs.writeFile(path.join(dir, name), `${lines.join('\n')}\n`)
  }
}
