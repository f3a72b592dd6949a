import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { encodeExample } from '../../../../src/records/codec.ts'
import { bodyOfExample } from '../../../../src/records/example-codec.ts'
import { noFeatures } from '../../../../src/records/types.ts'
import { shuffleDay } from '../../../../src/runtime/archive/shuffle.ts'
import { seededRandom } from '../../../support/seeded-random.ts'

test('the order depends on the seed and on nothing else: not on the files, their order, or the memory', async () => {
  const bodies = bodiesOf(3_000)
  const wanted = await orderOf([bodies])
  expect([...wanted].sort()).toEqual(namesOf(3_000))
  expect(await orderOf([bodies.slice(0, 17), bodies.slice(17)])).toEqual(wanted)
  expect(await orderOf([bodies.toReversed()])).toEqual(wanted)
  expect(await orderOf([bodies], { bytesMax: 2_000 })).toEqual(wanted)
  expect(await orderOf([bodies], { bytesMax: 200_000 })).toEqual(wanted)
  expect(await orderOf([bodies], { seed: 2 })).not.toEqual(wanted)
})

test.each([1e9, 20_000])('%s bytes: what is passed over is the beginning', async (bytesMax) => {
  const bodies = bodiesOf(1_000)
  const wanted = await orderOf([bodies], { bytesMax })
  for (const from of [0, 1, 511, 512, 513, 999, 1_000]) {
    expect(await orderOf([bodies], { bytesMax, from })).toEqual(wanted.slice(from))
  }
})

test('every place is as likely for every example, over seeds', async () => {
  const count = 40
  const seeds = 400
  const bodies = bodiesOf(count)
  const seen = Array.from({ length: count }, () => new Array<number>(count).fill(0))
  for (let seed = 1; seed <= seeds; seed++) {
    for (const [place, name] of (await orderOf([bodies], { seed })).entries()) {
      seen[Number(name.slice(1))]![place]!++
    }
  }
  const expected = seeds / count
  const chiSquare = seen.flat().reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)
  // (count - 1)^2 degrees of freedom: five standard deviations either way.
  const degrees = (count - 1) ** 2
  expect(Math.abs(chiSquare - degrees)).toBeLessThan(5 * Math.sqrt(2 * degrees))
})

test('what was near is not near any more: places do not follow the input', async () => {
  const count = 5_000
  const places = (await orderOf([bodiesOf(count)])).map((name) => Number(name.slice(1)))
  const mean = (count - 1) / 2
  let covariance = 0
  let variance = 0
  for (const [place, origin] of places.entries()) {
    covariance += (place - mean) * (origin - mean)
    variance += (place - mean) ** 2
  }
  expect(Math.abs(covariance / variance)).toBeLessThan(4 / Math.sqrt(count))
  // Kolmogorov and Smirnov: the first half of the input is spread evenly over the order.
  let early = 0
  let distance = 0
  for (const [place, origin] of places.entries()) {
    if (origin < count / 2) early++
    distance = Math.max(distance, Math.abs(early / (count / 2) - (place + 1) / count))
  }
  expect(distance).toBeLessThan(1.95 * Math.sqrt(2 / count))
})

test('files of the day are gone in the end, and those of a run that was killed before it', async () => {
  const spillDir = await temporaryDir()
  await fs.writeFile(path.join(spillDir, 'left-over'), 'x')
  const day = await shuffleDay(asyncOf([bodiesOf(100)]), { seed: 1, bytesMax: 100, spillDir })
  expect(await fs.readdir(spillDir)).toEqual(['day'])
  await day.close()
  await expect(fs.access(spillDir)).rejects.toThrow()
})

async function orderOf(
  files: readonly (readonly Buffer[])[],
  { seed = 1, bytesMax = 1e9, from = 0 } = {},
): Promise<string[]> {
  const spillDir = await temporaryDir()
  const day = await shuffleDay(asyncOf(files), { seed, bytesMax, spillDir })
  const names: string[] = []
  for await (const some of day.examples(from)) names.push(...some.map((one) => one.requestId))
  await day.close()
  return names
}

async function* asyncOf<T>(values: readonly T[]): AsyncGenerator<T> {
  for (const value of values) yield await Promise.resolve(value)
}

async function temporaryDir(): Promise<string> {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-shuffle-'))
  onTestFinished(() => fs.rm(dir, { recursive: true, force: true }))
  return dir
}

function namesOf(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `r${i}`).sort()
}

function bodiesOf(count: number): Buffer[] {
  const random = seededRandom(count)
  return Array.from({ length: count }, (_, i) =>
    bodyOfExample(
      encodeExample({
        ...{ kind: 'example', requestId: `r${i}`, userId: `u${i % 7}`, itemId: `i${i % 11}` },
        ...{ eventTimeMs: i, impressionTimeMs: i, position: 0, weight: 1, scenario: '' },
        hardNegatives: Array.from({ length: random.between(0, 3) }, (_, n) => `n${n}`),
        features: noFeatures,
      }),
    )!,
  )
}
