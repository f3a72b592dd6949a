import fs from 'node:fs/promises'
import { expect, onTestFinished, test } from 'vitest'
import { featureWidth } from '../../src/model/spec.ts'
import { snapshotKey } from '../../src/records/snapshot-codec.ts'
import { openEngine } from '../../src/runtime/engines/index.ts'
import { bootstrapGeneration } from '../../src/runtime/generation/generation.ts'
import type { ServingGeneration } from '../../src/runtime/generation/generation.ts'
import type { RecallResult } from '../../src/runtime/recall-client.ts'
import type { SinkRecord } from '../../src/streams/stage.ts'
import { dim, eventually, model, randomGeneration, recallRig } from '../support/recall-rig.ts'
import type { RecallRig } from '../support/recall-rig.ts'
import { randomFrom, unitVector } from '../support/vectors.ts'

const count = 40
const row = unitVector(dim, randomFrom(8))

/** Every vector has its own half of the dimensions, so that items of one generation say nothing to users of the other. */
function halfGeneration(id: string, seed: number, half: 0 | 1): ServingGeneration {
  const random = randomFrom(seed)
  const vectors = Array.from({ length: count }, () => {
    const vector = new Float32Array(dim)
    vector.set(unitVector(dim / 2, random), (half * dim) / 2)
    return [...vector]
  }).flat()
  return {
    ...bootstrapGeneration(id, model, seed, 1_700_000_000_000),
    itemIds: Array.from({ length: count }, (_, i) => `item-${i}`),
    itemVectors: Float32Array.from(vectors),
  }
}

/** Item id -> score, of a user with this row. */
async function scoresOf(
  generation: ServingGeneration,
  row: Float32Array,
): Promise<Map<string, number>> {
  const tensors = await openEngine('onnx').open(generation.model, generation.dense)
  const width = featureWidth(generation.model.user)
  const user = await tensors.vectors('user', row, new Float32Array(width), 1)
  await tensors.close()
  return new Map(
    generation.itemIds.map((id, i) => [
      id,
      user.reduce((sum, value, j) => sum + value * generation.itemVectors[i * dim + j]!, 0),
    ]),
  )
}

async function verifiedBy(rig: RecallRig): Promise<readonly string[]> {
  const report = (await rig.reports()).filter(({ kind }) => kind === 'loaded').at(-1)
  return (report?.body['verified'] as readonly string[] | undefined) ?? []
}

test('two orthogonal generations, switched to and fro under load: no reply mixes them', async () => {
  // On a busy machine the default deadline would make replies DEGRADED.
  const rig = await recallRig(onTestFinished, { recall: { redisDeadlineMs: 5_000 } })
  const generations = [halfGeneration('a', 21, 0), halfGeneration('b', 22, 1)]
  // The row of the same user is another in each.
  const rows = [row, row.map((value) => -value)]
  const expected = new Map<string, Map<string, number>>()
  for (const [i, generation] of generations.entries()) {
    await rig.publish(generation)
    await rig.sentinels(generation.id)
    await rig.user(generation.id, 'known', { row: rows[i]!, offset: 1 })
    expected.set(generation.id, await scoresOf(generation, rows[i]!))
  }
  await rig.control({ live: 'a', candidate: 'b' })
  await rig.startPod()
  await eventually(
    () => verifiedBy(rig),
    (ids) => ids.length === 2,
  )

  const replies: RecallResult[] = []
  let isOver = false
  const asking = Array.from({ length: 8 }, async () => {
    while (!isOver) replies.push(await rig.client.recall({ userId: 'known', k: count }))
  })
  const switches = 30
  for (let i = 1; i <= switches; i++) {
    const [live, previous] = i % 2 === 1 ? ['b', 'a'] : ['a', 'b']
    const before = replies.length
    await rig.control({ epoch: i + 1, live: live, previous: previous })
    await eventually(
      () => replies.slice(before).filter(({ generation }) => generation === live).length,
      (switched) => switched > 10,
    )
  }
  isOver = true
  await Promise.all(asking)

  let switched = 0
  for (const [i, { status, generation, items }] of replies.entries()) {
    expect(status).toBe('OK')
    const scores = expected.get(generation)!
    expect(items).toHaveLength(count)
    for (const { itemId, score } of items) expect(score).toBeCloseTo(scores.get(itemId)!, 5)
    if (i > 0 && replies[i - 1]!.generation !== generation) switched++
  }
  expect(switched).toBeGreaterThanOrEqual(switches)
  expect(new Set(replies.map(({ generation }) => generation))).toEqual(new Set(['a', 'b']))
})

test('a pod that starts late needs the topic alone', async () => {
  const rig = await recallRig(onTestFinished)
  const old = randomGeneration('old', 'o-', 20)
  const live = randomGeneration('g2', 'g-', 30)
  await rig.write(old)
  await rig.write(live)
  await rig.control({ live: 'old', candidate: 'g2', states: { g2: 'trained' } })
  const stop = await rig.startIndexer()
  const near = unitVector(dim, randomFrom(4))
  await rig.overrides({ generation: 'g2', sequence: 1, vectors: { fresh: near, 'g-3': null } })
  await eventually(rig.reports, (all) => all.some(({ generation }) => generation === 'g2'))
  await stop()
  await rig.control({ epoch: 2, live: 'g2', previous: 'old', kept: ['g2', 'old'] })
  await fs.rm(rig.artifactsDir, { recursive: true })

  await rig.startPod()
  const reply = await rig.client.recall({ userId: 'u', k: 100 })
  expect(reply).toMatchObject({ generation: 'g2', overrideSequence: 1 })
  const ids = reply.items.map(({ itemId }) => itemId)
  const expected = [...live.itemIds.filter((id) => id !== 'g-3'), 'fresh']
  expect(ids.toSorted()).toEqual(expected.toSorted())
  const both = await eventually(
    () => verifiedBy(rig),
    (verified) => verified.length === 2,
  )
  expect(both.toSorted()).toEqual(['g2', 'old'])
})

test('a rollback is a switch: to what the pod holds, though it can be read nowhere any more', async () => {
  const rig = await recallRig(onTestFinished)
  await rig.publish(randomGeneration('a', 'a-', 10))
  await rig.publish(randomGeneration('b', 'b-', 10))
  await rig.control({ live: 'a', candidate: 'b' })
  await rig.startPod()
  await eventually(
    () => verifiedBy(rig),
    (ids) => ids.length === 2,
  )
  const served = async () => (await rig.client.recall({ userId: 'u', k: 1 })).generation
  await rig.control({ epoch: 2, live: 'b', previous: 'a' })
  expect(await eventually(served, (live) => live === 'b')).toBe('b')
  const key = snapshotKey({ generation: 'a', revision: 1, chunk: null })
  const { snapshots: topic } = rig.topics
  await rig.producer.send([{ topic, key, value: null, timestampMs: Date.now(), partition: 0 }])

  const startedAt = performance.now()
  await rig.control({ epoch: 3, live: 'a', previous: 'b' })
  expect(await eventually(served, (live) => live === 'a')).toBe('a')
  // Sooner than a generation that could not be loaded is tried again.
  expect(performance.now() - startedAt).toBeLessThan(4_500)
})

test('a candidate that vanishes is let go of, also while it is not there yet', async () => {
  const rig = await recallRig(onTestFinished)
  await rig.publish(randomGeneration('a', 'a-', 10))
  await rig.publish(randomGeneration('b', 'b-', 10))
  await rig.control({ live: 'a', candidate: 'b' })
  await rig.startPod()
  const verified = (ids: readonly string[]) =>
    eventually(
      () => verifiedBy(rig),
      (found) => found.join() === ids.join(),
    )
  expect(await verified(['a', 'b'])).toEqual(['a', 'b'])
  await rig.control({ epoch: 2, live: 'a', candidate: null })
  expect(await verified(['a'])).toEqual(['a'])

  await rig.control({ epoch: 3, live: 'a', candidate: 'c' })
  await rig.control({ epoch: 4, live: 'a', candidate: null })
  await rig.publish(randomGeneration('c', 'c-', 10))
  await rig.control({ epoch: 5, live: 'a', candidate: 'b' })
  expect(await verified(['a', 'b'])).toEqual(['a', 'b'])
  expect((await rig.client.recall({ userId: 'u', k: 1 })).generation).toBe('a')
})

test('a revision is swapped in between two requests; one that is damaged replaces nothing', async () => {
  const rig = await recallRig(onTestFinished)
  const generation = randomGeneration('a', 'a-', 30)
  await rig.publish(generation)
  await rig.control({ live: 'a' })
  await rig.startPod()
  const random = randomFrom(44)
  const vectors = Array.from({ length: 3 }, () => unitVector(dim, random))
  await rig.overrides({
    ...{ generation: 'a', sequence: 1 },
    vectors: { 'a-0': vectors[0]!, 'a-1': vectors[0]!, 'a-2': null, fresh: vectors[0]! },
  })
  // Newer than the revision that is to come, and older of another item: the first must stay, the second must not come back.
  await rig.overrides({ generation: 'a', sequence: 2, vectors: { 'a-0': vectors[1]! } })
  await rig.overrides({ generation: 'a', sequence: 3, vectors: { 'a-1': vectors[2]! } })
  const ask = () => rig.client.recall({ userId: 'u', k: 100 })
  const before = await eventually(ask, ({ overrideSequence }) => overrideSequence === 3)
  expect(before.items).toHaveLength(30)

  const replies: RecallResult[] = []
  let isOver = false
  const asking = (async () => {
    while (!isOver) replies.push(await ask())
  })()
  const folded = withVectors(generation, {
    'a-0': vectors[1]!,
    'a-1': vectors[0]!,
    fresh: vectors[0]!,
    'a-2': null,
  })
  await rig.publish(folded, {
    revision: 2,
    overrideSequence: 2,
    damage: withoutChunk('item-vectors/0'),
  })
  await eventually(
    () => rig.errors.some((each) => each.startsWith('cannot load generation a')),
    Boolean,
  )
  expect((await ask()).items).toEqual(before.items)
  await rig.publish(folded, { revision: 3, overrideSequence: 2 })
  await eventually(rig.reports, (all) => all.some(({ body }) => body['revision'] === 3))
  const asked = replies.length
  await eventually(
    () => replies.length,
    (length) => length > asked + 5,
  )
  isOver = true
  await asking
  for (const reply of [...replies, await ask()]) {
    expect(reply).toMatchObject({ generation: 'a', overrideSequence: 3, items: before.items })
  }

  // A pod that starts now takes the revision and what came after it, and nothing from before.
  const late = await recallOfLatePod(rig)
  expect(late).toMatchObject({ overrideSequence: 3, items: before.items })
})

test('an override that the base holds a newer vector of never comes back, in a running pod or a late one', async () => {
  const rig = await recallRig(onTestFinished)
  const generation = randomGeneration('a', 'a-', 5)
  await rig.publish(generation)
  await rig.control({ live: 'a' })
  await rig.startPod()
  const random = randomFrom(45)
  const [older, newer] = [unitVector(dim, random), unitVector(dim, random)]
  const ask = () => rig.client.recall({ userId: 'u', k: 100 })
  await rig.overrides({ generation: 'a', sequence: 3, vectors: { 'a-0': older, 'a-1': null } })
  await eventually(ask, ({ overrideSequence }) => overrideSequence === 3)
  // The pod lags behind: sets 4 to 9 are in this revision before it has heard of them.
  await rig.publish(withVectors(generation, { 'a-0': newer }), { revision: 2, overrideSequence: 9 })
  const folded = await eventually(ask, ({ overrideSequence }) => overrideSequence === 9)
  expect(folded.items).toHaveLength(5)
  await rig.overrides({ generation: 'a', sequence: 8, vectors: { 'a-0': older, 'a-2': null } })
  await rig.overrides({ generation: 'a', sequence: 10, vectors: { 'a-3': null } })
  const next = await eventually(ask, ({ overrideSequence }) => overrideSequence === 10)
  const expected = folded.items.filter(({ itemId }) => itemId !== 'a-3')
  expect(next.items).toEqual(expected)
  const late = await recallOfLatePod(rig)
  expect(late).toMatchObject({ overrideSequence: 10, items: expected })
})

async function recallOfLatePod(rig: RecallRig): Promise<RecallResult> {
  await rig.startPod()
  const replies = await Promise.all(
    Array.from({ length: 30 }, () => rig.client.recall({ userId: 'u', k: 100 })),
  )
  for (const reply of replies) expect(reply.items).toEqual(replies[0]!.items)
  return replies[0]!
}

function withVectors(
  generation: ServingGeneration,
  changes: Readonly<Record<string, Float32Array | null>>,
): ServingGeneration {
  const vectors = new Map(
    generation.itemIds.map((id, i) => [
      id,
      generation.itemVectors.subarray(i * dim, (i + 1) * dim),
    ]),
  )
  for (const [id, vector] of Object.entries(changes)) {
    if (vector === null) vectors.delete(id)
    else vectors.set(id, vector)
  }
  const itemVectors = Float32Array.from([...vectors.values()].flatMap((vector) => [...vector]))
  return { ...generation, itemIds: [...vectors.keys()], itemVectors }
}

function withoutChunk(name: string): (record: SinkRecord) => SinkRecord | null {
  return (record) => (String(record.key).endsWith(`/${name}`) ? null : record)
}
