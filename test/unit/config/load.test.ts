import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadConfig, type ConfigInput } from '../../../src/config/load.ts'
import { printConfig } from '../../../src/config/reference.ts'
import { configSchema } from '../../../src/config/schema.ts'
import { FreshetError } from '../../../src/errors.ts'

const root = join(import.meta.dirname, '..', '..', '..')

function load(input: Partial<ConfigInput> & { readonly yaml?: string }) {
  const texts =
    input.yaml === undefined ? (input.texts ?? []) : [{ name: 'a.yaml', text: input.yaml }]
  return loadConfig({ texts, environment: input.environment ?? {}, settings: input.settings ?? [] })
}

function problemsOf(run: () => unknown): string[] {
  try {
    run()
  } catch (error) {
    if (error instanceof FreshetError && error.code === 'CONFIG_INVALID')
      return error.message
        .split('\n')
        .slice(1)
        .map((line) => line.replace(/^ {2}- /, ''))
    throw error
  }
  return []
}

test('later sources win key by key: defaults, files in order, environment, --set', () => {
  const config = load({
    texts: [
      { name: 'a.yaml', text: 'kafka: { partitions: 8, topicPrefix: a }\nlearner: { syncMs: 1 }' },
      { name: 'b.yaml', text: 'kafka: { topicPrefix: b, brokers: [file:1] }' },
    ],
    environment: { FRESHET_KAFKA_BROKERS: 'x:1,y:2', FRESHET_METRICS_PORT: '0', HOME: '/home/me' },
    settings: ['learner.syncMs=7'],
  })
  expect(config.kafka).toMatchObject({ partitions: 8, topicPrefix: 'b', brokers: ['x:1', 'y:2'] })
  expect(config.learner.syncMs).toBe(7)
  expect(config.metrics.port).toBe(0)
})

test('a password that looks like a number stays text', () => {
  expect(load({ environment: { FRESHET_REDIS_PASSWORD: '0123' } }).redis.password).toBe('0123')
})

test('every problem is reported at once, with its place and a suggestion', () => {
  const yaml =
    'kafka:\n  partition: 8\njoinr: {}\nsources:\n  plays:\n    topc: x\nlearner:\n  syncMs: soon\n'
  const problems = problemsOf(() =>
    load({ yaml, environment: { FRESHET_REDIS_URI: 'x' }, settings: ['nonsense'] }),
  )
  expect(problems).toEqual([
    'environment: FRESHET_REDIS_URI means nothing; did you mean FRESHET_REDIS_URL?',
    '--set nonsense: expected path=value, e.g. kafka.partitions=8',
    'a.yaml:2: kafka.partition: unknown key; did you mean partitions?',
    'a.yaml:6: sources.plays.topic: expected string, received undefined',
    'a.yaml:6: sources.plays.record: Invalid option: expected one of "impression"|"click"',
    'a.yaml:6: sources.plays.topc: unknown key; did you mean topic?',
    'a.yaml:8: learner.syncMs: expected number, received string',
    'a.yaml:3: joinr: unknown key; did you mean joiner?',
  ])
})

test('settings that contradict each other are refused', () => {
  expect(problemsOf(() => load({ settings: ['kafka.heartbeatIntervalMs=3000'] }))).toEqual([
    '--set kafka.heartbeatIntervalMs: kafka.heartbeatIntervalMs: must be at most a third of sessionTimeoutMs',
  ])
  expect(problemsOf(() => load({ settings: ['ingest.alignMs=9000000'] })).join()).toContain(
    'must be at most joiner.graceMs',
  )
})

test('hidden layers are a list of widths, or one number; vectors are as wide as rows unless it is said', () => {
  const { model } = load({
    yaml: 'model: { dim: 8, user: { hidden: 16 }, item: { hidden: [16, 4] } }',
  })
  expect([model.user.hidden, model.item.hidden, model.outputDim]).toEqual([[16], [16, 4], 8])
  const { model: set } = load({
    yaml: 'model: { dim: 8, outputDim: null }',
    settings: ['model.outputDim=6', 'model.user.hidden=[64,32]'],
  })
  expect([set.user.hidden, set.item.hidden, set.outputDim]).toEqual([[64, 32], [64], 6])
})

test.each(['[]', '[8, 0]', '[8, x]', '0', 'deep'])(
  'hidden layers %s are refused with what they may be',
  (hidden) => {
    const problems = problemsOf(() => load({ yaml: `model: { user: { hidden: ${hidden} } }` }))
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatch(/^a\.yaml:1: model\.user\.hidden.*: /)
    expect(problems[0]).toMatch(hidden === '[]' ? /one width or more/ : /number|width/)
  },
)

test('text that is not YAML, or not a map, is named with its line', () => {
  expect(problemsOf(() => load({ yaml: 'kafka:\n  brokers: [a\n' }))[0]).toMatch(
    /^a\.yaml:\d: not valid YAML/,
  )
  expect(problemsOf(() => load({ yaml: '- a' }))[0]).toBe(
    'a.yaml: expected a map of settings, found a list',
  )
})

test('secrets are masked, the host of an address is not', () => {
  const config = load({
    environment: {
      FRESHET_KAFKA_PASSWORD: 'hunter2',
      FRESHET_REDIS_PASSWORD: 'hunter3',
      FRESHET_REDIS_URL: 'rediss://me:hunter4@cache:6380',
    },
  })
  const printed = printConfig(config)
  expect(printed).not.toMatch(/hunter/)
  expect(printed).toContain('rediss://me:********@cache:6380')
})

test('config/default.yaml says the defaults, and the other files are valid', () => {
  const read = (name: string) => ({ name, text: readFileSync(join(root, 'config', name), 'utf8') })
  expect(load({ texts: [read('default.yaml')] })).toEqual(configSchema.parse({}))
  expect(load({ texts: [read('generator.yaml')] }).model.item.features).not.toEqual([])
  expect(load({ texts: [read('movietweetings.yaml')] }).model.item.features).not.toEqual([])
})

test('a gateway that others reach needs tokens, or somebody who answers for it', () => {
  const problem =
    /^--set gateway.host: gateway.host: .*gateway.tokenFile.*gateway.allowWithoutToken/
  for (const host of ['0.0.0.0', '::', '10.1.2.3', 'example.org', '127.0.0.1.example.org']) {
    const settings = [`gateway.host="${host}"`]
    expect(problemsOf(() => load({ settings }))[0], host).toMatch(problem)
    for (const remedy of ['gateway.tokenFile=tokens', 'gateway.allowWithoutToken=true']) {
      expect(load({ settings: [...settings, remedy] }).gateway.host).toBe(host)
    }
  }
  const environment = { FRESHET_GATEWAY_HOST: '127.0.0.1', FRESHET_GATEWAY_PORT: '81' }
  expect(load({ environment }).gateway).toMatchObject({ host: '127.0.0.1', port: 81 })
  for (const host of ['127.0.0.1', '127.0.1.1', '::1', 'localhost']) {
    expect(load({ settings: [`gateway.host="${host}"`] }).gateway.host).toBe(host)
  }
})
