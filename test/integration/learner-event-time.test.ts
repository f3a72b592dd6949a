import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { decodeOverride } from '../../src/records/codec.ts'
import type { Lineage } from '../../src/records/reports.ts'
import type { Config } from '../../src/config/schema.ts'
import { FreshetError } from '../../src/errors.ts'
import type { StepInput, TensorEngine } from '../../src/model/engine.ts'
import { partitionOf } from '../../src/records/partition.ts'
import type { OnlineStore, OnlineWrite } from '../../src/runtime/ports.ts'
import { openEngine } from '../../src/runtime/engines/index.ts'
import type { LearnerSession } from '../../src/runtime/learner-session.ts'
import { generation as first, learnerRig, untilLive } from '../support/learner-rig.ts'
import type { LearnerRig } from '../support/learner-rig.ts'

const within = { timeout: 20_000, interval: 25 }
const dayMs = 86_400_000
/** The examples of the rig begin at 2023-11-14, 22:13:20, one a second. */
const startMs = 1_700_000_000_000
const day = '2023-11-14'
const dayEndMs = Date.parse(day) + dayMs
const second = 'full-2'
const settings: Partial<Config['learner']> = {
  ...{ order: 'event-time', syncEventMs: 600_000, checkpointMs: 150, batchMax: 16 },
}

/**
 * The state that a lineage left, but for what only says what has to be looked at again after a restart. Figures are those of the live
 * one: what is left of them with the other goes when both are open.
 */
function stateOf({ learner, generation }: LearnerSession, live: string): unknown {
  const { users, items, positions, sequence: _, exampleTopic: __, ...all } = learner.snapshot()
  const { evaluation, ...rest } = all
  const clean = <T extends { table: object }>(side: T) => ({
    ...side,
    table: { ...side.table, dirty: null },
  })
  // Topics have names of their own in each run.
  const places = positions.map(({ topic, ...position }) => [topic.split('.')[1], position])
  const figures = generation === live ? evaluation : null
  return { ...rest, figures, positions: places, users: clean(users), items: clean(items) }
}

/** What pods have of each generation in the end, and in how many sets it came. */
async function published(rig: LearnerRig) {
  const vectors: Record<string, string> = {}
  const sets: Record<string, number> = {}
  const [range] = await rig.kafka.offsets(rig.topics.overrides)
  const topic = { topic: rig.topics.overrides, partition: 0 }
  await rig.kafka.readRange(topic, range!.low, range!.high, ({ records }) => {
    for (const { key, value } of records) {
      const record = decodeOverride(value!)
      if (record.kind === 'set-end') sets[record.generation] = record.sequence
      else vectors[key!.toString()] = Buffer.from(record.vector!.buffer).toString('base64')
    }
  })
  return { vectors, sets }
}

async function untilLearned(rig: LearnerRig, generations: readonly string[]): Promise<void> {
  const ends = await rig.kafka.offsets(rig.topics.examples)
  await vi.waitFor(async () => {
    const newest = (await rig.reports('learned')).at(-1)
    const lineages = (newest?.body['lineages'] ?? []) as Lineage[]
    expect(lineages.map(({ generation }) => generation).sort()).toEqual([...generations].sort())
    for (const { isLoaded, learnedThrough } of lineages) {
      expect(isLoaded).toBe(true)
      expect(learnedThrough.map(({ offset }) => offset)).toEqual(ends.map(({ high }) => high))
    }
  }, within)
}

/** A day's end and what follows it; `pause` is called wherever another run may be interrupted. */
async function runDays(
  rig: LearnerRig,
  start: () => Promise<void> | void,
  pause: () => Promise<void>,
): Promise<void> {
  await rig.items(50)
  await rig.examples(700)
  await pause()
  await rig.examples(900)
  await rig.heartbeat(startMs + 1_600_000)
  await pause()
  await rig.examples(4_700)
  await rig.heartbeat(dayEndMs)
  await start()
  for (let i = 0; i < 4; i++) await pause()
  await untilLearned(rig, [first])
  const cut = await rig.fullGeneration(second, day, ['u1', 'u2', 'u3', 'quiet'])
  const document = { candidate: second, kept: [first, second], cuts: { [day]: cut } }
  await rig.control(document)
  await pause()
  await untilLearned(rig, [first, second])
  await rig.control({ live: second, candidate: null, previous: first, liveSinceMs: Date.now() })
  await untilLive(rig, second)
  // The first hundred are late: their day is over.
  await rig.examples(1_500)
  await pause()
  await rig.heartbeat(startMs + 8_280_000)
  await pause()
  await untilLearned(rig, [first, second])
  await pause()
}

test('two runs over the same records leave the same tables, figures and vectors to the bit, whatever the timing, restarts and crashes', async () => {
  const whole = await learnerRig(onTestFinished, { learner: settings })
  let running = { stop: () => Promise.resolve() }
  await runDays(
    whole,
    () => void (running = whole.start()),
    () => Promise.resolve(),
  )
  await running.stop()

  const torn = await learnerRig(onTestFinished, { learner: settings })
  let stateDir = torn.stateDir
  let pieces = torn.start()
  let interruptions = 0
  await runDays(
    torn,
    () => {},
    async () => {
      await sleep(25 * (interruptions % 4))
      if (interruptions++ % 2 === 0) await pieces.stop()
      else {
        stateDir = await pieces.crash()
        // What it was about to do must come to nothing.
        void pieces.stop().catch(() => {})
      }
      pieces = torn.start({ config: { ...torn.config, stateDir } })
    },
  )
  await pieces.stop()
  expect(interruptions).toBeGreaterThan(8)
  expect(torn.complaints).toEqual([])

  const tornConfig = { config: { ...torn.config, stateDir } }
  expect(await published(torn)).toEqual(await published(whole))
  for (const generation of [first, second]) {
    const [one, other] = [
      stateOf(await whole.open({}, { generation }), second),
      stateOf(await torn.open(tornConfig, { generation }), second),
    ]
    expect(other).toEqual(one)
  }
}, 120_000)

test('a crash in the middle of a window changes nothing', async () => {
  const inputs = async (rig: LearnerRig) => {
    await rig.items(50)
    await rig.examples(2_000)
    await rig.heartbeat(dayEndMs)
  }
  const whole = await learnerRig(onTestFinished, { learner: settings })
  await inputs(whole)
  const straight = whole.start()
  await untilLearned(whole, [first])
  await straight.stop()

  const torn = await learnerRig(onTestFinished, { learner: { ...settings, checkpointMs: 60_000 } })
  await inputs(torn)
  let config = torn.config
  // A window is about forty steps: these are in the first, second and last partition, and in windows further on.
  for (const [steps = Infinity, writes = Infinity] of [[5], [20], [, 1], [35], [, 4], [100]]) {
    const sticking = stuckAfter(torn.store, steps, writes)
    const { engine, store } = sticking
    const learner = torn.start({ config, engine, store })
    await sticking.isStuck
    config = { ...config, stateDir: await learner.crash() }
    sticking.fail(new FreshetError('ABORTED', 'crashed'))
    void learner.stop().catch(() => {})
  }
  const last = torn.start({ config })
  await untilLearned(torn, [first])
  await last.stop()
  expect(await published(torn)).toEqual(await published(whole))
  const state = await torn.open({ config })
  expect(stateOf(state, first)).toEqual(stateOf(await whole.open(), first))
  for (const { userId, ...row } of state.learner.users.all()) {
    const partition = partitionOf(userId, torn.partitions)
    expect((await torn.store.read(first, partition, userId, 1_000)).row).toEqual(row)
  }
}, 60_000)

/** An engine that does not come back after so many steps, and a store that does not after so many writes of rows, until they fail. */
function stuckAfter(onlineStore: OnlineStore, steps: number, writes: number) {
  let stick!: () => void
  let fail!: (error: Error) => void
  const isStuck = new Promise<void>((resolve) => (stick = resolve))
  const failed = new Promise<never>((_, reject) => (fail = reject))
  failed.catch(() => {})
  const counted = <Args extends unknown[], T>(
    call: (...args: Args) => Promise<T>,
    most: number,
  ) => {
    let left = most
    return (...args: Args): Promise<T> => {
      if (left-- > 0) return call(...args)
      stick()
      return failed
    }
  }
  const onnx = openEngine('onnx')
  const engine: TensorEngine = {
    ...onnx,
    open: async (model, dense) => {
      const tensors = await onnx.open(model, dense)
      return {
        step: counted((input: StepInput) => tensors.step(input), steps),
        vectors: (...args) => tensors.vectors(...args),
        scores: (...args) => tensors.scores(...args),
        close: () => tensors.close(),
      }
    },
  }
  const writeRows = counted((write: OnlineWrite) => onlineStore.write(write), writes)
  const store = new Proxy(onlineStore, {
    get: (target, name: keyof OnlineStore) =>
      name === 'write'
        ? (write: OnlineWrite) => (write.rows.length > 0 ? writeRows(write) : target.write(write))
        : (target[name] as () => unknown).bind(target),
  })
  return { engine, store, isStuck, fail }
}
