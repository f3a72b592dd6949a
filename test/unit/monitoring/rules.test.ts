import { execFile } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { fetchPromtool } from '../../../scripts/fetch-servers.js'
import { buildProgram } from '../../../src/cli/program.ts'
import { configSchema } from '../../../src/config/schema.ts'
import { alerts, ruleTestFiles, ruleTests } from '../../support/monitoring.ts'

const names = new Set(alerts.map(({ alert }) => alert!))

const promtool = await fetchPromtool('.freshet/cache').catch((error: Error) => {
  // Where everything is to be tested, as in CI, what is missing is a failure.
  if (process.env['CI']) throw error
  console.warn(`SKIPPED, the rules in monitoring/ are not run: ${error.message}`)
  return null
})

describe.skipIf(promtool === null)('promtool', () => {
  const run = (...args: readonly string[]) => promisify(execFile)(promtool!, args)

  test.each(['prometheus.yml', 'prometheus.compose.yml'])(
    '%s and the rules that it names are valid',
    async (name) => {
      const { stdout } = await run('check', 'config', `monitoring/${name}`)
      expect(stdout).toContain('recording.yml')
      expect(stdout).toContain('alerts.yml')
    },
  )

  test.each(ruleTestFiles)('%s passes', async (file) => {
    await run('test', 'rules', file)
  })
})

test.each([...names])('%s has a test in which it fires and one in which it does not', (name) => {
  const outcomes = ruleTests
    .flatMap((one) => one.alert_rule_test ?? [])
    .filter(({ alertname }) => alertname === name)
    .map(({ exp_alerts }) => exp_alerts.length > 0)
  expect(outcomes).toContain(true)
  expect(outcomes).toContain(false)
})

test('every alert says what it is, its value, how urgent it is and where its runbook is', () => {
  for (const { alert, labels, annotations } of alerts) {
    expect(['page', 'ticket'], alert).toContain(labels?.['severity'])
    expect(annotations?.['summary'], alert).toBeTruthy()
    expect(annotations?.['description'], alert).toContain('$value')
    expect(annotations?.['runbook_url']).toBe(`docs/runbooks/${alert}.md`)
  }
})

test('every alert has a runbook, every runbook an alert, and the list of them is complete', () => {
  const pages = fs.readdirSync('docs/runbooks').map((name) => name.replace(/\.md$/, ''))
  expect(pages.toSorted()).toEqual([...names].toSorted())
  const list = fs.readFileSync('docs/monitoring.md', 'utf8')
  const linked = [...list.matchAll(/\(runbooks\/(\w+)\.md\)/g)].map(([, name]) => name)
  expect(linked.toSorted()).toEqual([...names].toSorted())
})

test.each([...names])('the runbook of %s has its parts, in order', (name) => {
  const page = fs.readFileSync(`docs/runbooks/${name}.md`, 'utf8')
  expect(page).toMatch(new RegExp(`^# ${name}\n`))
  const parts = [...page.matchAll(/^## (.+)$/gm)].map(([, title]) => title)
  expect(parts).toEqual(['Means', 'How bad', 'Look at', 'Mend', 'Tested'])
})

test('runbooks name only commands, settings and tests that there are', () => {
  const pages = [...names].map((name) => fs.readFileSync(`docs/runbooks/${name}.md`, 'utf8'))
  const code = pages.flatMap((page) => page.match(/`[^`]+`/g) ?? []).map((one) => one.slice(1, -1))
  const commands = code.flatMap((one) => /^freshet ([\w-]+)/.exec(one)?.[1] ?? [])
  expect(commands.length).toBeGreaterThan(names.size)
  expect(buildProgram().commands.map((command) => command.name())).toEqual(
    expect.arrayContaining(commands),
  )
  const isTest = (one: string) => /\.test\.(ts|yml)$/.test(one)
  const tests = fs.readdirSync('test', { recursive: true, encoding: 'utf8' })
  const files = [...tests, ...ruleTestFiles].map((file) => path.basename(file))
  expect(files).toEqual(expect.arrayContaining(code.filter(isTest)))
  const sections = Object.keys(configSchema.parse({})).join('|')
  const settings = code.filter((one) => new RegExp(`^(${sections})\\.\\w+$`).test(one))
  const reference = fs.readFileSync('docs/reference/config.md', 'utf8')
  expect(settings.filter((one) => !reference.includes(`\`${one}`))).toEqual([])
})
