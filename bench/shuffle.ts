/**
 * Shuffles a made-up day of examples and reads it back in its order, to see that memory does not grow with the day, and how long a shuffle
 * takes. The examples are made in a loop and never all there; their requests are numbered, so a bit for each of them proves that the
 * order holds every example exactly once. Both passes are counted with what making or decoding the examples takes.
 *
 * Run: node bench/run.js shuffle [--examples N] [--bytes-max N] [--dir DIR]
 */
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { Random } from '../src/model/hash.ts'
import { encodeExample } from '../src/records/codec.ts'
import { bodyOfExample } from '../src/records/example-codec.ts'
import { shuffleDay } from '../src/runtime/archive/shuffle.ts'

/** About as many as a file of the archive holds. */
const examplesAFile = 100_000
const [requestDigits, itemDigits] = [10, 7]
const [requestMark, itemMark] = ['R'.repeat(requestDigits), 'I'.repeat(itemDigits)]

const { values } = parseArgs({
  options: {
    examples: { type: 'string', default: '100000000' },
    'bytes-max': { type: 'string', default: String(256 * 2 ** 20) },
    dir: { type: 'string' },
  },
})
const examples = Number(values.examples)
const bytesMax = Number(values['bytes-max'])
const dir = values.dir ?? (await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-shuffle-')))
const template = templateBody()

const rssBefore = peakRssBytes()
const first = stopwatch()
const day = await shuffleDay(bodies(), { seed: 17, bytesMax, spillDir: dir })
const bucketed = first()
const second = stopwatch()
const seen = new Uint8Array(Math.ceil(examples / 8))
let read = 0
let doubled = 0
for await (const slice of day.examples(0)) {
  for (const { requestId } of slice) {
    const request = Number(requestId.slice(-requestDigits))
    const bit = 1 << (request & 7)
    if ((seen[request >>> 3]! & bit) !== 0) doubled++
    seen[request >>> 3]! |= bit
    read++
  }
}
const sorted = second()
await day.close()

const figures = {
  examples,
  bodyBytes: template.length,
  shuffleBytesMax: bytesMax,
  bucketExamplesPerSecond: rate(bucketed.seconds),
  bucketExamplesPerCpuSecond: rate(bucketed.cpuSeconds),
  sortExamplesPerSecond: rate(sorted.seconds),
  sortExamplesPerCpuSecond: rate(sorted.cpuSeconds),
  seconds: Math.round(bucketed.seconds + sorted.seconds),
  rssBeforeMiB: Math.round(rssBefore / 2 ** 20),
  peakRssMiB: Math.round(peakRssBytes() / 2 ** 20),
}
console.log(JSON.stringify(figures))
if (day.count !== examples || read !== examples || doubled > 0) {
  throw new Error(`${examples} examples, ${read} in the order, ${doubled} of them doubled`)
}

async function* bodies(): AsyncGenerator<readonly Buffer[]> {
  const random = new Random(17, examples)
  const request = template.indexOf(requestMark)
  const item = template.indexOf(itemMark)
  const size = template.length
  for (let from = 0; from < examples; from += examplesAFile) {
    const count = Math.min(examplesAFile, examples - from)
    const bytes = Buffer.alloc(count * size, template)
    const some: Buffer[] = []
    for (let i = 0, at = 0; i < count; i++, at += size) {
      writeDigits(bytes, at + request, requestDigits, from + i)
      writeDigits(bytes, at + item, itemDigits, random.nextInt() % 1_000_000)
      some.push(bytes.subarray(at, at + size))
    }
    yield await Promise.resolve(some)
  }
}

function writeDigits(bytes: Buffer, at: number, digits: number, value: number): void {
  let rest = value
  for (let i = at + digits - 1; i >= at; i--) {
    const next = Math.floor(rest / 10)
    bytes[i] = 48 + rest - next * 10
    rest = next
  }
}

function templateBody(): Buffer {
  const eventTimeMs = Date.UTC(2026, 0, 5)
  return bodyOfExample(
    encodeExample({
      ...{ kind: 'example', requestId: `request-${requestMark}`, userId: 'user-0012345' },
      ...{ itemId: `item-${itemMark}`, eventTimeMs, impressionTimeMs: eventTimeMs, position: 3 },
      ...{ weight: 1, scenario: 'home', hardNegatives: [] },
      features: {
        categorical: new Map([['country', ['NL']]]),
        numeric: new Map([['age', 30]]),
        dense: new Map(),
      },
    }),
  )!
}

function stopwatch(): () => { readonly seconds: number; readonly cpuSeconds: number } {
  const startedMs = performance.now()
  const cpu = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(cpu)
    return { seconds: (performance.now() - startedMs) / 1e3, cpuSeconds: (user + system) / 1e6 }
  }
}

function rate(seconds: number): number {
  return Math.round(examples / seconds)
}

function peakRssBytes(): number {
  return process.resourceUsage().maxRSS * 1_024
}
