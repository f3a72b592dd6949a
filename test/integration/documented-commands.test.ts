import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { fences, inlineCommands, problemOf, root } from '../support/documented-commands.ts'
import type { DocumentedCommand, Fence } from '../support/documented-commands.ts'
import { notRun, plans } from '../support/documented-plan.ts'
import type { Place, Plan } from '../support/documented-plan.ts'
import { temporaryDir } from '../support/own-servers.ts'
import { linkClone, PageShell } from '../support/page-shell.ts'
import { freePort, pageWorld, toolsDir } from '../support/page-world.ts'
import type { PageWorld, Running } from '../support/page-world.ts'

// Goal: whoever types what a page says gets what the page says. Method: the tutorial is walked in its order, with servers and roles of its
// own. What the other pages say is run beside it, each fence in a folder of its own: beside the live system of its first half, beside the
// days of its second, or beside nothing but a Kafka and a Redis.

const tutorialFile = 'docs/tutorial.md'
const isNotRun = ({ text }: DocumentedCommand): boolean => notRun.some(([what]) => what.test(text))
const all = fences()
const tutorial = all.filter(({ file }) => file === tutorialFile)
const toRun = once([
  ...inlineCommands().map((one): Fence => ({ file: one.file, commands: [one], sample: '' })),
  ...all.filter(({ file }) => file !== tutorialFile),
])

/** Without what is run already, unless the rest of its fence needs it. */
function once(some: readonly Fence[]): Fence[] {
  const seen = new Set(tutorial.flatMap(({ commands }) => commands.map(({ text }) => text)))
  return some.flatMap((fence) => {
    const commands = fence.commands.filter((one) => {
      if (isNotRun(one)) return false
      const isNew = !seen.has(one.text)
      seen.add(one.text)
      return isNew
    })
    return commands.length === 0 ? [] : [{ ...fence, commands }]
  })
}

function placeOf({ commands }: Fence): Place {
  const places = commands.flatMap(({ text }) => plans[text]?.in ?? [])
  return places[0] ?? 'live'
}

const cleanUps: (() => Promise<void>)[] = []
const onEnd = (cleanUp: () => Promise<void>): void => void cleanUps.push(cleanUp)
let running: Running
let walk: PageShell
let tools: string

beforeAll(async () => {
  const dir = await temporaryDir(onEnd)
  await linkClone(dir)
  running = { dir, gatewayPort: await freePort() }
  tools = await toolsDir(onEnd)
  walk = new PageShell(dir, {
    CURL_HOME: tools,
    FRESHET_METRICS_PORT: '0',
    FRESHET_GATEWAY_PORT: `${running.gatewayPort}`,
  })
  onEnd(() => walk.close())
})

afterAll(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp()
})

/** @throws with the place of the command in the page */
async function runDocumented(
  { file, line, text }: DocumentedCommand,
  shell: PageShell,
  fill: (text: string) => string,
): Promise<string> {
  const { instead, add, before, until, shows }: Plan = plans[text] ?? {}
  const smaller = instead === undefined ? text : text.replace(...instead)
  const added = `${smaller}${add === undefined ? '' : ` ${add}`}`
  try {
    if (before !== undefined) await shell.run(fill(before))
    return await shell.run(fill(added), {
      ...(until === undefined ? {} : { until }),
      ...(shows === undefined ? {} : { shows }),
    })
  } catch (cause) {
    throw new Error(`${file}:${line}: ${text}\n${(cause as Error).message}`, { cause })
  }
}

/** As a newcomer types it, `npx` and all. */
const typed = (text: string): string =>
  text
    .replace(/^freshet /, 'npx freshet ')
    .replaceAll('127.0.0.1:8080', `127.0.0.1:${running.gatewayPort}`)

async function walkThrough(some: readonly Fence[]): Promise<void> {
  for (const { commands, sample } of some) {
    let printed = ''
    for (const command of commands) {
      if (isNotRun(command)) continue
      // The page says: end with Ctrl-C what runs in the other terminal.
      if (command.text === 'freshet reset') await walk.stop()
      printed += await runDocumented(command, walk, typed)
    }
    const words = sample
      .split('\n')
      .flatMap((line) => /^([a-z]+)(?: {2,}|: )/.exec(line)?.[1] ?? [])
    for (const word of words) expect(printed, `the page shows ${word}`).toContain(word)
  }
}

async function runFence(fence: Fence, world: PageWorld): Promise<void> {
  let printed = ''
  for (const command of fence.commands) {
    const first = /generations\.first=(\S+)/.exec(printed)?.[1]
    const fill = (text: string): string =>
      world.fill(first === undefined ? text : text.replace('=GENERATION', `=${first}`))
    printed += await runDocumented(command, world.shell, fill)
  }
  await world.shell.stop()
}

const servers = { brokers: inject('kafkaBrokers')[0]!, redisUrl: inject('redisUrl') }
const of = (place: Place): Fence[] => toRun.filter((fence) => placeOf(fence) === place)
const resets = tutorial.flatMap(({ commands }, at) =>
  commands.some(({ text }) => text === 'freshet reset') ? [at] : [],
)
const timeout = 540_000

describe('what is documented can be typed', { timeout }, () => {
  test('the tutorial, first half: clicks of your own', () =>
    walkThrough(tutorial.slice(0, resets[0])))

  test.concurrent.for([...of('live'), ...of('alone')])(
    '$commands.0.file:$commands.0.line: $commands.0.text',
    async (fence, { onTestFinished }) => {
      const where = placeOf(fence) === 'live' ? running : servers
      await runFence(fence, await pageWorld(onTestFinished, tools, where))
    },
  )

  test('the tutorial, second half: days, and a rollback', () =>
    walkThrough(tutorial.slice(resets[0], -1)))

  // One after the other: each changes which generation is live.
  test.for(of('days'))(
    '$commands.0.file:$commands.0.line: $commands.0.text',
    async (fence, { onTestFinished }) => {
      await runFence(fence, await pageWorld(onTestFinished, tools, running))
    },
  )

  test('the tutorial, to its end', () => walkThrough(tutorial.slice(-1)))
})

describe('what is not run', () => {
  const commands = [...all.flatMap((fence) => fence.commands), ...inlineCommands()]

  test.for(commands.filter(isNotRun))('$file:$line: $text names what there is', ({ text }) => {
    expect(problemWith(text)).toBeNull()
  })

  test('each plan is for a command that a page has', () => {
    const texts = new Set(commands.map(({ text }) => text))
    expect(Object.keys(plans).filter((text) => !texts.has(text))).toEqual([])
    expect(notRun.filter(([what]) => !commands.some(({ text }) => what.test(text)))).toEqual([])
    expect(resets).toEqual([expect.any(Number), tutorial.length - 1])
  })
})

/** Files that are not there, options that a script does not know. */
function problemWith(text: string): string | null {
  // Tools of others.
  if (/^(?:docker|npx vitest|kafka-acls\.sh|redis-cli) /.test(text)) return null
  if (/\bfreshet [a-z]/.test(text) && !text.startsWith('git ')) return problemOf(text)
  const [, script] = /^npm run (\S+)/.exec(text) ?? []
  const manifest = readFileSync(path.join(root, 'package.json'), 'utf8')
  if (script !== undefined) return manifest.includes(`"${script}":`) ? null : `no script ${script}`
  const [, bench] = /bench\/run\.js (\S+)/.exec(text) ?? []
  const named = text.split(/\s+/).filter((word) => /^[a-z]+\/.*\.[a-z]+$/.test(word))
  const files = bench === undefined ? named : [`bench/${bench}.ts`]
  const missing = files.find((file) => !existsSync(path.join(root, file)))
  if (missing !== undefined) return `no file ${missing}`
  const source = files.map((file) => readFileSync(path.join(root, file), 'utf8')).join('\n')
  const options = [...text.matchAll(/ --([a-z-]+)/g)].map(([, option]) => option!)
  const isKnown = (option: string): boolean =>
    new RegExp(`(?:^|[\\s'"{-])${option}['"]?[:,]`).test(source)
  return options.find((option) => !isKnown(option)) ?? null
}
