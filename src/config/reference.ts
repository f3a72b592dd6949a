import { stringify } from 'yaml'
import { z } from 'zod'
import { environmentVariables } from './load.ts'
import { configSchema, type Config } from './schema.ts'

interface Node {
  type?: string | string[]
  properties?: Record<string, Node>
  additionalProperties?: Node | boolean
  items?: Node
  anyOf?: Node[]
  oneOf?: Node[]
  enum?: unknown[]
  const?: unknown
  default?: unknown
  description?: string
  secret?: boolean
  minimum?: number
  maximum?: number
}

function jsonSchema(): Node {
  return z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' }) as Node
}

/** The effective configuration as YAML, every secret masked. */
export function printConfig(config: Config): string {
  return stringify(mask(config, jsonSchema()), { lineWidth: 0 })
}

function mask(value: unknown, node: Node | undefined): unknown {
  if (node?.secret === true && typeof value === 'string') return maskSecret(value)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const child = (key: string): Node | undefined => {
    const next = node?.properties?.[key] ?? node?.additionalProperties
    return typeof next === 'object' ? next : undefined
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, mask(inner, child(key))]),
  )
}

/** An address keeps its host: only the password inside it is masked. */
function maskSecret(value: string): string {
  if (value === '') return ''
  if (!value.includes('://')) return '********'
  return value.replace(/(:\/\/[^:@/,]*):[^@/,]*@/g, '$1:********@')
}

/** `a.b.c=value`, as --set takes it, to be shown: the value is masked where it is a secret. */
export function maskSetting(setting: string): string {
  const [path = '', value = ''] = setting.split(/=(.*)/s)
  const tree = path.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), value)
  let masked = mask(tree, jsonSchema())
  for (const key of path.split('.')) masked = (masked as Record<string, unknown>)[key]
  return `${path}=${String(masked)}`
}

/** docs/reference/config.md, generated from the schema. */
export function configReference(): string {
  const rows: string[] = []
  walk(jsonSchema(), '', rows)
  const environment = Object.entries(environmentVariables).map(
    ([variable, path]) => `| \`${variable}\` | \`${path}\` |`,
  )
  return [
    '# Configuration reference',
    '',
    'Generated from `src/config/schema.ts` by `npm run docs`. YAML files are given with `--config FILE` (several: later ones win),',
    'single values with `--set path=value`. Precedence: defaults, files, environment, `--set`.',
    '',
    '| key | type | default | meaning |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
    '## Environment',
    '',
    'Addresses and secrets only.',
    '',
    '| variable | key |',
    '| --- | --- |',
    ...environment,
    '',
  ].join('\n')
}

function walk(node: Node, path: string, rows: string[]): void {
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    const here = path === '' ? key : `${path}.${key}`
    if (child.properties !== undefined) {
      walk(child, here, rows)
      continue
    }
    const shown = child.default === undefined ? '' : `\`${JSON.stringify(child.default)}\``
    rows.push(`| \`${here}\` | ${typeOf(child)} | ${shown} | ${child.description ?? ''} |`)
    const inner =
      child.items ??
      (typeof child.additionalProperties === 'object' ? child.additionalProperties : undefined)
    const suffix = child.items === undefined ? '.<name>' : '[]'
    for (const option of inner?.oneOf ?? inner?.anyOf ?? (inner === undefined ? [] : [inner])) {
      const kind = option.properties?.['kind']?.const
      walk(option, `${here}${suffix}${kind === undefined ? '' : `(${String(kind)})`}`, rows)
    }
  }
}

function typeOf(node: Node): string {
  if (node.enum !== undefined) return node.enum.map((v) => `\`${String(v)}\``).join(', ')
  if (node.const !== undefined) return `\`${String(node.const)}\``
  if (node.anyOf !== undefined) return node.anyOf.map(typeOf).join(' or ')
  if (node.items !== undefined) return `list of ${typeOf(node.items)}`
  if (node.type === 'object') return 'map'
  return node.type === undefined ? 'one of several' : String(node.type)
}
