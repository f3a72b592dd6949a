import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { expect, test } from 'vitest'

const source = join(import.meta.dirname, '..', 'src')
const layers = [
  'records',
  'model',
  'index',
  'streams',
  'config',
  'metrics',
  'runtime',
  'console',
  'cli',
]
const pureLayers = new Set(['records', 'model', 'index', 'streams'])
const pureBuiltins = new Set(['node:buffer', 'node:crypto'])
const impure =
  /\b(Date\.now|new Date\(\)|performance\.now|Math\.random|randomUUID|randomBytes|process\.|setTimeout|setInterval|setImmediate|globalThis)/

interface SourceFile {
  readonly path: string
  readonly layer: string
  readonly text: string
  readonly imports: readonly string[]
}

const files: readonly SourceFile[] = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => {
    const text = readFileSync(join(source, name), 'utf8')
    const imports = [
      ...text.matchAll(/\bfrom '([^']+)'|\bimport\('([^']+)'\)|^import '([^']+)'/gm),
    ].map((m) => (m[1] ?? m[2] ?? m[3])!)
    return { path: name, layer: name.includes('/') ? name.split('/')[0]! : '', text, imports }
  })

function layerOf(file: SourceFile, specifier: string): string {
  const target = relative(source, join(source, file.path, '..', specifier))
  return target.includes('/') ? target.split('/')[0]! : ''
}

test('there is something to check, and every folder is a layer', () => {
  expect(files.length).toBeGreaterThan(50)
  expect(
    [...new Set(files.map((f) => f.layer))].filter((l) => l !== '' && !layers.includes(l)),
  ).toEqual([])
})

test('imports point one way: records <- model <- index <- streams <- config <- metrics <- runtime <- console <- cli', () => {
  const wrong = files.flatMap((file) =>
    file.imports
      .filter((specifier) => specifier.startsWith('.'))
      .filter((specifier) => {
        const target = layerOf(file, specifier)
        return (
          target !== '' && file.layer !== '' && layers.indexOf(target) > layers.indexOf(file.layer)
        )
      })
      .map((specifier) => `${file.path} imports ${specifier}`),
  )
  expect(wrong).toEqual([])
})

test('pure layers do no I/O and know no clock, chance, environment or globals', () => {
  const wrong = files
    .filter((file) => pureLayers.has(file.layer))
    .flatMap((file) => [
      ...file.imports
        .filter((s) => s.startsWith('node:') && !pureBuiltins.has(s))
        .map((s) => `${file.path} imports ${s}`),
      ...withoutComments(file.text)
        .split('\n')
        .filter((line) => impure.test(line))
        .map((line) => `${file.path}: ${line.trim()}`),
    ])
  expect(wrong).toEqual([])
})

test('kafkajs and ioredis stay behind their modules, and only main.ts exits the process', () => {
  const wrong = files.flatMap((file) => [
    ...(file.imports.includes('kafkajs') && !file.path.startsWith('runtime/kafka/')
      ? [`${file.path} imports kafkajs`]
      : []),
    ...(file.imports.includes('ioredis') &&
    !file.path.startsWith('runtime/redis/') &&
    !file.path.startsWith('runtime/local/')
      ? [`${file.path} imports ioredis`]
      : []),
    ...(/process\.exit\(/.test(withoutComments(file.text)) && file.path !== 'main.ts'
      ? [`${file.path} calls process.exit`]
      : []),
  ])
  expect(wrong).toEqual([])
})

test('topic names are spelled in records/topics.ts and nowhere else', () => {
  const wrong = files.filter(
    (f) =>
      f.path !== 'records/topics.ts' &&
      /['"`](freshet|\$\{\w+\})\.[a-z-]+\.v\d/.test(withoutComments(f.text)),
  )
  expect(wrong.map((f) => f.path)).toEqual([])
})

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '')
}
