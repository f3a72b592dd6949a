import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest'
import type { Overview } from '../../src/console/api.ts'
import { openBrowser } from '../support/browser.ts'
import { ask, consoleRun, evil, shotsDir, type ConsoleRun } from '../support/console-run.ts'
import { startRole } from '../support/role-process.ts'

const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const cleanUps: (() => Promise<void>)[] = []
let run: ConsoleRun
let browser: Browser

beforeAll(async () => {
  const onEnd = (cleanUp: () => Promise<void>): void => void cleanUps.push(cleanUp)
  browser = await openBrowser(onEnd)
  run = await consoleRun(onEnd, { brokers: inject('kafkaBrokers'), redisUrl: inject('redisUrl') })
}, 300_000)

afterAll(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp()
})

/** By name, with what is there once its data has come. */
const pages: Readonly<Record<string, { readonly hash: string; readonly ready: string }>> = {
  overview: { hash: '#/overview', ready: '.plot path' },
  generations: { hash: '#/generations', ready: '.generation.is-live .gate' },
  user: { hash: '#/user?id=USER', ready: '.clicks a' },
  'dead-letters': { hash: '#/dead-letters', ready: '.letters summary' },
  map: { hash: '#/map?user=USER', ready: '.sky .here' },
}

interface Opened {
  readonly page: Page
  /** Errors of the console, and requests to anybody else. */
  readonly problems: string[]
}

async function open(width: number, colorScheme: 'light' | 'dark' = 'light'): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme })
  onTestFinished(() => context.close())
  const page = await context.newPage()
  const problems: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text())
  })
  page.on('pageerror', (error) => problems.push(error.message))
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== run.url) problems.push(`asks ${request.url()}`)
  })
  return { page, problems }
}

async function visit(page: Page, name: string): Promise<void> {
  const { hash, ready } = pages[name]!
  await page.goto(`${run.url}/console/${hash.replace('USER', run.userId)}`)
  await page.waitForSelector(ready, { state: 'attached', timeout: 30_000 })
}

// What runs in the page is text: the types of the DOM are not those of the tests.
const width = 'document.documentElement.scrollWidth'
const seriousFindings = `axe.run().then(({ violations }) => violations
  .filter(({ impact }) => impact === 'serious' || impact === 'critical')
  .map(({ id, nodes }) => id + ': ' + nodes[0].html))`
/** Of a group of radio buttons Tab comes by one, the arrow keys by the others. */
const numberStops = `(() => {
  const all = [...document.querySelectorAll('a[href], button, input, summary, [tabindex="0"]')]
  const stops = all.filter((one) => one.checkVisibility() && !one.matches('[type=radio]:not(:checked)'))
  stops.forEach((one, i) => one.setAttribute('data-stop', String(i)))
  return stops.length
})()`
const focusedStop = "document.activeElement?.getAttribute('data-stop') ?? null"

async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe)
  return page.evaluate(seriousFindings)
}

/** What can be used and is to be seen, and how much of it Tab has come by when it is through. */
async function keyboardReach(page: Page): Promise<{ usable: number; reached: number }> {
  const usable = await page.evaluate<number>(numberStops)
  const reached = new Set<string>()
  for (let i = 0; i < usable + 2; i++) {
    await page.keyboard.press('Tab')
    const stop = await page.evaluate<string | null>(focusedStop)
    if (stop !== null) reached.add(stop)
  }
  return { usable, reached: reached.size }
}

const documented = [
  'overview-1280',
  'overview-360',
  'generations-1280',
  'passport-1280',
  'map-1280',
]

async function picture(page: Page, name: string): Promise<void> {
  if (shotsDir === null || !documented.includes(name)) return
  await page.screenshot({ path: path.join(shotsDir, `${name}.png`) })
}

for (const pixels of [1_280, 360]) {
  for (const name of Object.keys(pages)) {
    test(`${name} at ${pixels} px: nothing sticks out, nothing fails, nobody else is asked, axe finds nothing serious`, async () => {
      const { page, problems } = await open(pixels)
      await visit(page, name)
      expect(await page.evaluate(width)).toBe(pixels)
      expect(await violations(page)).toEqual([])
      expect(problems).toEqual([])
      await picture(page, `${name}-${pixels}`)
    })
  }
}

test('the dark colours have enough contrast too', async () => {
  const { page, problems } = await open(1_280, 'dark')
  for (const name of Object.keys(pages)) {
    await visit(page, name)
    expect(await violations(page), name).toEqual([])
  }
  expect(problems).toEqual([])
})

test('Tab reaches everything on every page', async () => {
  const { page } = await open(1_280)
  for (const name of Object.keys(pages)) {
    await visit(page, name)
    // Reports and rates go on: what is drawn anew while Tab is on its way is not what was counted.
    await page.route('**/console/api/**', (route) => route.abort())
    const { usable, reached } = await keyboardReach(page)
    expect(usable, name).toBeGreaterThan(5)
    expect(reached, name).toBe(usable)
    await page.unroute('**/console/api/**')
  }
})

test('from the keyboard alone: to a user, to a click and its passport', async () => {
  const { page, problems } = await open(360)
  await visit(page, 'overview')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  expect(await page.evaluate('document.activeElement.id')).toBe('main')
  await page.goto(`${run.url}/console/#/user`)
  await page.focus('#user-id')
  await page.keyboard.type(run.userId)
  await page.keyboard.press('Enter')
  await page.waitForSelector('.clicks a')
  await page.focus('.clicks a')
  await page.keyboard.press('Enter')
  await page.waitForSelector('.stamps li')
  const stamps = await page.locator('.stamps li.done > b').allTextContents()
  expect(stamps).toEqual(
    expect.arrayContaining(['Click arrived', 'Event', 'Training example', 'Learnt']),
  )
  expect(await page.evaluate(width)).toBe(360)
  expect(problems).toEqual([])
  await page.setViewportSize({ width: 1_280, height: 800 })
  await picture(page, 'passport-1280')
})

test('a number says what it means, and arrow keys move along a chart and the map', async () => {
  const { page } = await open(1_280)
  await visit(page, 'overview')
  const term = page.locator('.figures .term').first()
  await term.press('Enter')
  expect(await term.getAttribute('aria-expanded')).toBe('true')
  expect(await page.locator('.figures .note').first().textContent()).toContain('freshet watch')
  await page.locator('.plot').first().press('ArrowLeft')
  expect(await page.locator('.moment').first().textContent()).toMatch(/^\d\d:\d\d:\d\dZ/)
  await visit(page, 'map')
  await page.locator('.sky').press('ArrowUp')
  expect(await page.locator('.readout').textContent()).toContain('·')
})

test('ids, titles, features and bytes of others are text, never markup', async () => {
  const { page, problems } = await open(1_280)
  const id = encodeURIComponent(evil)
  await page.goto(`${run.url}/console/#/user?id=${id}&request=${id}&item=${id}`)
  await page.waitForSelector('.stamps li')
  await page.waitForSelector('.clicks a')
  expect(await page.locator('.clicks a').first().textContent()).toBe(evil)
  expect(await page.locator('#main').textContent()).toContain(`region${evil}`)
  await visit(page, 'dead-letters')
  for (const summary of await page.locator('.letters > li > details > summary').all()) {
    await summary.click()
  }
  expect(await page.locator('.letters pre').allTextContents()).toContain(evil)
  expect(await page.locator('img, iframe, script:not([src])').count()).toBe(0)
  expect(await page.evaluate("'isOwned' in window")).toBe(false)
  expect(problems).toEqual([])
})

test('as a process of its own it needs the addresses of the metrics, and says so', async () => {
  const { dir } = run.target
  const own = async (name: string, ...settings: readonly string[]): Promise<string> => {
    const config = path.join(dir, 'freshet.yaml')
    const args = ['console', '--config', config, '--set', 'console.port=0', ...settings]
    const { logFile } = startRole(onTestFinished, { name, dir, args })
    const address = (): string | undefined =>
      /console: (http:\S+)\/console\//.exec(fs.readFileSync(logFile, 'utf8'))?.[1]
    await expect.poll(address, { timeout: 30_000 }).toBeDefined()
    return address()!
  }
  const alone = { url: await own('console-alone') }
  const here = { url: await own('console-here', '--set', `console.metricsUrls=["${run.url}"]`) }
  const without = await ask<Overview>(alone, 'overview')
  expect(without).toMatchObject({ now: null, sources: [] })
  expect(without.live).toMatch(/^full-/)
  await expect
    .poll(async () => (await ask<Overview>(here, 'overview')).now?.events ?? 0, { timeout: 30_000 })
    .toBeGreaterThan(1_000)
  expect(await ask(here, 'dead-letters')).toMatchObject({ total: 4 })
})
