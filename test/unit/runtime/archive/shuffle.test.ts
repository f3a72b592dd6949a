import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { encodeExample } from '../../../../src/records/codec.ts'
import { bodyOfExample } from '../../../../src/records/example-codec.ts'
import { noFeatures, type Example } from '../../../../src/records/types.ts'
import { shuffleDay, type ShuffledDay } from '../../../../src/runtime/archive/shuffle.ts'

test('the order depends on the seed and the examples alone: not on the files, their order, or the memory', async () => {
  const bodies = bodiesOf(3_000)
  const wanted = await orderOf([bodies])
  expect([...wanted].sort()).toEqual(namesOf(3_000))
  expect(await orderOf([bodies.slice(0, 17), [], bodies.slice(17)])).toEqual(wanted)
  expect(await orderOf(bodies.map((body) => [body]))).toEqual(wanted)
  expect(await orderOf([bodies.toReversed()])).toEqual(wanted)
  // In one spill, in many, and with every bucket split again.
  for (const bytesMax of [200_000, 30_000]) {
    expect(await orderOf([bodies], { bytesMax })).toEqual(wanted)
    expect(await orderOf([bodies.toReversed()], { bytesMax })).toEqual(wanted)
  }
  expect(await orderOf([bodies.slice(0, 500)], { bytesMax: 60 })).toEqual(
    await orderOf([bodies.slice(0, 500)]),
  )
  expect(await orderOf([bodies], { seed: 2 })).not.toEqual(wanted)
})

test('the memory decides where examples are, and how often they are split', async () => {
  const bodies = bodiesOf(1_000)
  expect((await layoutOf(bodies, 10_000_000)).files).toEqual([])
  const spilled = await layoutOf(bodies, 100_000)
  expect(spilled.files.length).toBeGreaterThan(200)
  expect(spilled.files.filter((name) => name.includes('split'))).toEqual([])
  expect((await layoutOf(bodies, 100)).files.join()).toMatch(/day\/\d+-split\/\d+/)
})

test('examples larger than the memory, and the same one twice, are all there', async () => {
  const large = bodiesOf(3, 'x'.repeat(50_000))
  const bodies = [...large, ...bodiesOf(20), ...bodiesOf(20)]
  const wanted = await orderOf([bodies])
  expect([...wanted].sort()).toEqual([...namesOf(3), ...namesOf(20), ...namesOf(20)].sort())
  expect(await orderOf([bodies.toReversed()], { bytesMax: 1_000 })).toEqual(wanted)
})

test('equal hashes are ordered by the bytes of the example', async () => {
  // The same request and item, which is the same hash.
  const bodies = Array.from({ length: 50 }, (_, i) => bodyOf('r', 'item', (i * 37) % 50))
  for (const bytesMax of [1e9, 500]) {
    const day = await shuffleDay(asyncOf([bodies]), { ...(await place()), bytesMax })
    const positions: number[] = []
    for await (const some of day.examples(0)) positions.push(...some.map((one) => one.position))
    expect(positions).toEqual(Array.from({ length: 50 }, (_, i) => i))
    await day.close()
  }
})

test.each([
  [1e9, 1_200],
  [30_000, 1_200],
  // Small enough that buckets are split again.
  [100, 530],
])('%s bytes: what is passed over is the beginning', async (bytesMax, count) => {
  const day = await shuffleDay(asyncOf([bodiesOf(count)]), { ...(await place()), bytesMax })
  const wanted = await namesFrom(day, 0)
  expect(day.count).toBe(count)
  for (const from of [0, 1, 511, 512, 513, count - 1, count, count + 1]) {
    expect(await namesFrom(day, from)).toEqual(wanted.slice(from))
  }
  await day.close()
})

test('a bucket that is passed over whole is not read, and reading can end early', async () => {
  const { spillDir, ...rest } = await place()
  const day = await shuffleDay(asyncOf([bodiesOf(2_000)]), { ...rest, spillDir, bytesMax: 50_000 })
  const wanted = await namesFrom(day, 0)
  const first = path.join(spillDir, 'day', '0')
  await fs.writeFile(first, 'damaged')
  expect(await namesFrom(day, 1_000)).toEqual(wanted.slice(1_000))
  await expect(namesFrom(day, 0)).rejects.toThrow()
  for await (const some of day.examples(1_000)) {
    expect(some.map((one) => one.requestId)).toEqual(wanted.slice(1_000, 1_000 + some.length))
    break
  }
  await day.close()
  await expect(fs.access(spillDir)).rejects.toThrow()
})

test('slices are of a few hundred examples, however the day lies', async () => {
  for (const bytesMax of [1e9, 50_000]) {
    const bodies = bodiesOf(1_300)
    const day = await shuffleDay(asyncOf([bodies]), { ...(await place()), bytesMax })
    const lengths: number[] = []
    for await (const some of day.examples(10)) lengths.push(some.length)
    expect(lengths).toEqual([512, 512, 266])
    await day.close()
  }
})

test('a day without examples has an order, too', async () => {
  expect(await orderOf([])).toEqual([])
  expect(await orderOf([[]], { bytesMax: 1 })).toEqual([])
})

test('examples are decoded whole', async () => {
  const bodies = bodiesOf(30)
  const day = await shuffleDay(asyncOf([bodies]), { ...(await place()), bytesMax: 1_000 })
  for await (const some of day.examples(0)) {
    for (const one of some) expect(bodies[Number(one.requestId.slice(1))]).toEqual(encoded(one))
  }
  await day.close()
})

test('the files of a run that was killed are gone in the next, and its own in the end', async () => {
  const { spillDir, ...rest } = await place()
  await fs.mkdir(path.join(spillDir, 'day'), { recursive: true })
  await fs.writeFile(path.join(spillDir, 'day', '3'), 'x')
  await fs.writeFile(path.join(spillDir, 'left-over'), 'x')
  const day = await shuffleDay(asyncOf([bodiesOf(100)]), { ...rest, spillDir, bytesMax: 100 })
  expect(await fs.readdir(spillDir)).toEqual(['day'])
  expect([...(await namesFrom(day, 0))].sort()).toEqual(namesOf(100))
  await day.close()
  await expect(fs.access(spillDir)).rejects.toThrow()
})

async function orderOf(
  files: readonly (readonly Buffer[])[],
  { seed = 1, bytesMax = 1e9 } = {},
): Promise<string[]> {
  const day = await shuffleDay(asyncOf(files), { ...(await place()), seed, bytesMax })
  const names = await namesFrom(day, 0)
  expect(names).toHaveLength(day.count)
  await day.close()
  return names
}

async function namesFrom(day: ShuffledDay, from: number): Promise<string[]> {
  const names: string[] = []
  for await (const some of day.examples(from)) names.push(...some.map((one) => one.requestId))
  return names
}

/** The files that there are while the first examples are read. */
async function layoutOf(bodies: readonly Buffer[], bytesMax: number) {
  const { spillDir, ...rest } = await place()
  const day = await shuffleDay(asyncOf([bodies]), { ...rest, spillDir, bytesMax })
  let files: string[] = []
  for await (const some of day.examples(0)) {
    expect(some).toHaveLength(512)
    const names = await fs.readdir(spillDir, { recursive: true }).catch(() => [])
    files = names.filter((name) => /\d$/.test(name))
    break
  }
  await day.close()
  return { files }
}

async function* asyncOf<T>(values: readonly T[]): AsyncGenerator<T> {
  for (const value of values) yield await Promise.resolve(value)
}

async function place() {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-shuffle-'))
  onTestFinished(() => fs.rm(dir, { recursive: true, force: true }))
  return { seed: 1, spillDir: path.join(dir, 'spill') }
}

function namesOf(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `r${i}`).sort()
}

function bodiesOf(count: number, scenario = ''): Buffer[] {
  return Array.from({ length: count }, (_, i) => bodyOf(`r${i}`, `i${i % 11}`, i % 5, scenario))
}

function bodyOf(requestId: string, itemId: string, position: number, scenario = ''): Buffer {
  return encoded({
    ...{ kind: 'example', requestId, userId: `u${position}`, itemId, eventTimeMs: 5 },
    ...{ impressionTimeMs: 4, position, weight: 1, scenario, features: noFeatures },
    hardNegatives: Array.from({ length: requestId.length % 3 }, (_, n) => `n${n}`),
  })
}

function encoded(example: Example): Buffer {
  return bodyOfExample(encodeExample(example))!
}
