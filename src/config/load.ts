import { distance } from 'fastest-levenshtein'
import { LineCounter, parseDocument, type Document } from 'yaml'
import { z } from 'zod'
import { FreshetError } from '../errors.ts'
import { configSchema, type Config } from './schema.ts'

/** One YAML text with the name that error messages give it. */
export interface ConfigText {
  readonly name: string
  readonly text: string
}

export interface ConfigInput {
  /** Later texts win over earlier ones, key by key. */
  readonly texts: readonly ConfigText[]
  readonly environment: Readonly<Record<string, string | undefined>>
  /** `a.b.c=value` as given by --set. */
  readonly settings: readonly string[]
}

type Tree = Record<string, unknown>

/** The environment carries addresses and secrets only. */
export const environmentVariables: Readonly<Record<string, string>> = {
  FRESHET_KAFKA_BROKERS: 'kafka.brokers',
  FRESHET_KAFKA_USERNAME: 'kafka.sasl.username',
  FRESHET_KAFKA_PASSWORD: 'kafka.sasl.password',
  FRESHET_REDIS_URL: 'redis.url',
  FRESHET_REDIS_USERNAME: 'redis.username',
  FRESHET_REDIS_PASSWORD: 'redis.password',
  FRESHET_METRICS_HOST: 'metrics.host',
  FRESHET_METRICS_PORT: 'metrics.port',
  FRESHET_GATEWAY_HOST: 'gateway.host',
  FRESHET_GATEWAY_PORT: 'gateway.port',
  FRESHET_STATE_DIR: 'stateDir',
  FRESHET_ARTIFACTS_DIR: 'artifacts.dir',
}

/**
 * Merges texts, environment and --set over the defaults.
 * @throws FreshetError CONFIG_INVALID that lists every problem at once, each with its place and a remedy.
 */
export function loadConfig(input: ConfigInput): Config {
  const problems: string[] = []
  const tree: Tree = {}
  const places = new Map<string, string>()
  for (const text of input.texts) mergeText(tree, text, places, problems)
  for (const [variable, value] of Object.entries(input.environment)) {
    if (!variable.startsWith('FRESHET_') || value === undefined) continue
    const path = environmentVariables[variable]
    if (path === undefined) {
      const known = Object.keys(environmentVariables)
      problems.push(`environment: ${variable} means nothing${suggestion(variable, known)}`)
    } else
      setPath(
        tree,
        path,
        path === 'kafka.brokers' ? value.split(',') : scalar(path, value),
        `environment ${variable}`,
        places,
      )
  }
  for (const setting of input.settings) {
    const [path, value] = splitSetting(setting)
    if (path === '') problems.push(`--set ${setting}: expected path=value, e.g. kafka.partitions=8`)
    else setPath(tree, path, parseScalar(value), `--set ${path}`, places)
  }
  const parsed = configSchema.safeParse(tree)
  if (!parsed.success)
    problems.push(...parsed.error.issues.flatMap((issue) => explain(issue, places)))
  if (problems.length > 0 || !parsed.success) {
    throw new FreshetError(
      'CONFIG_INVALID',
      `the configuration has ${problems.length} problem${problems.length === 1 ? '' : 's'}:\n${problems.map((p) => `  - ${p}`).join('\n')}`,
    )
  }
  return parsed.data
}

function mergeText(
  tree: Tree,
  { name, text }: ConfigText,
  places: Map<string, string>,
  problems: string[],
): void {
  const lines = new LineCounter()
  const document: Document = parseDocument(text, { lineCounter: lines })
  if (document.errors.length > 0) {
    for (const error of document.errors)
      problems.push(
        `${name}:${error.linePos?.[0].line ?? 1}: not valid YAML: ${error.message.split('\n')[0]}`,
      )
    return
  }
  const value: unknown = document.toJS()
  if (value === null || value === undefined) return
  if (typeof value !== 'object' || Array.isArray(value)) {
    problems.push(
      `${name}: expected a map of settings, found ${Array.isArray(value) ? 'a list' : typeof value}`,
    )
    return
  }
  merge(tree, value as Tree, [], (path) => {
    const node = document.getIn(path, true) as { range?: [number, number, number] } | undefined
    const line = node?.range === undefined ? 1 : lines.linePos(node.range[0]).line
    places.set(path.join('.'), `${name}:${line}`)
  })
}

function merge(
  into: Tree,
  from: Tree,
  path: readonly string[],
  visit: (path: readonly string[]) => void,
): void {
  for (const [key, value] of Object.entries(from)) {
    const here = [...path, key]
    visit(here)
    const existing = into[key]
    if (isTree(value)) {
      const child = isTree(existing) ? existing : {}
      into[key] = child
      merge(child, value, here, visit)
    } else into[key] = value
  }
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function setPath(
  tree: Tree,
  path: string,
  value: unknown,
  place: string,
  places: Map<string, string>,
): void {
  const nested = path
    .split('.')
    .reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Tree
  merge(tree, nested, [], (visited) => places.set(visited.join('.'), place))
}

function splitSetting(setting: string): [string, string] {
  const at = setting.indexOf('=')
  return at <= 0 ? ['', ''] : [setting.slice(0, at), setting.slice(at + 1)]
}

function parseScalar(value: string): unknown {
  const document = parseDocument(value)
  return document.errors.length > 0 ? value : (document.toJS() as unknown)
}

/** A password that looks like a number stays a string; only a port is a number. */
function scalar(path: string, value: string): unknown {
  return path.endsWith('.port') ? parseScalar(value) : value
}

function explain(issue: z.core.$ZodIssue, places: ReadonlyMap<string, string>): string[] {
  const path = issue.path.map(String)
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(path)
    return issue.keys.map((key) => {
      const full = [...path, key].join('.')
      return `${placeOf(places, [...path, key])}${full}: unknown key${suggestion(key, known)}`
    })
  }
  return [
    `${placeOf(places, path)}${path.join('.') || 'configuration'}: ${issue.message.replace(/^Invalid input: /, '')}`,
  ]
}

function placeOf(places: ReadonlyMap<string, string>, path: readonly string[]): string {
  for (let length = path.length; length > 0; length--) {
    const place = places.get(path.slice(0, length).join('.'))
    if (place !== undefined) return `${place}: `
  }
  return ''
}

function suggestion(wrong: string, known: readonly string[]): string {
  const best = nearest(wrong, known)
  return best === undefined ? '' : `; did you mean ${best}?`
}

/** The candidate nearest to a mistyped word, if any is near. */
export function nearest(wrong: string, candidates: readonly string[]): string | undefined {
  const ranked = candidates
    .map((c) => ({ c, d: distance(wrong.toLowerCase(), c.toLowerCase()) }))
    .sort((a, b) => a.d - b.d)
  const best = ranked[0]
  return best !== undefined && best.d <= Math.max(2, Math.ceil(wrong.length / 3))
    ? best.c
    : undefined
}

interface JsonSchema {
  properties?: Record<string, JsonSchema>
  additionalProperties?: JsonSchema | boolean
}

/** Keys that the schema knows at a path; follows records by their value schema. */
function keysAt(path: readonly string[]): string[] {
  let node: JsonSchema | undefined = z.toJSONSchema(configSchema, {
    io: 'input',
    unrepresentable: 'any',
  }) as JsonSchema
  for (const key of path) {
    const next: JsonSchema | boolean | undefined =
      node?.properties?.[key] ?? node?.additionalProperties
    node = typeof next === 'object' ? next : undefined
  }
  return Object.keys(node?.properties ?? {})
}
