import { decodeDeadLetter, decodeExample } from '../../src/records/codec.ts'
import { partitionOf } from '../../src/records/partition.ts'
import type { Event, Example } from '../../src/records/types.ts'
import { openEngine } from '../../src/runtime/engines/index.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import { loadGeneration } from '../../src/runtime/generation/generation.ts'
import { packState } from '../../src/runtime/checkpoint-state.ts'
import { readControl } from '../../src/runtime/control.ts'
import { readCutLog } from '../../src/runtime/cut-log.ts'
import {
  learnerDir,
  learnerOptions,
  replayCutLog,
  restoreState,
} from '../../src/runtime/learner-state.ts'
import { openOnlineStore } from '../../src/runtime/redis/online-store.ts'
import type { Learner } from '../../src/streams/learner.ts'
import type { SourceRecord } from '../../src/streams/stage.ts'
import type { Deployment } from './deployment.ts'
import { offlineJoin } from './offline-join.ts'
import { silentLog } from './own-servers.ts'
import type { Observation } from './recall-watch.ts'
import { readTopic } from './settle.ts'

/** Every example on the topic, as a reader of committed records sees it, against the offline join of the input. */
export async function checkExamples(
  { kafka, topics, config }: Deployment,
  input: readonly Event[],
  problems: string[],
): Promise<{ found: SourceRecord[]; expected: number; deadLetters: number }> {
  const records = await readTopic({ kafka }, topics.examples)
  const found = records.filter(({ key }) => key !== null)
  const wanted = offlineJoin(input, config.joiner)
  const wantedCounts = countsOf(wanted.map(lineOf))
  const foundCounts = new Map<string, number>()
  for (const { value, partition } of found) {
    const example = decodeExample(value!)
    if (example.kind === 'heartbeat') continue
    const line = lineOf(example)
    foundCounts.set(line, (foundCounts.get(line) ?? 0) + 1)
    if (partition !== partitionOf(example.userId, config.kafka.partitions)) {
      problems.push(`an example of user ${example.userId} is in partition ${partition}`)
    }
  }
  compare(wantedCounts, foundCounts, problems)
  const letters = await readTopic({ kafka }, topics.deadLetters)
  if (letters.length > 0) {
    const codes = countsOf(letters.map(({ value }) => decodeDeadLetter(value!).code))
    problems.push(`dead letters: ${JSON.stringify(Object.fromEntries(codes))}`)
  }
  return { found, expected: wanted.length, deadLetters: letters.length }
}

function compare(
  wanted: ReadonlyMap<string, number>,
  found: ReadonlyMap<string, number>,
  problems: string[],
): void {
  const lost = [...wanted.keys()].filter((line) => !found.has(line))
  const twice = [...found].filter(([, count]) => count > 1).map(([line]) => line)
  const extra = [...found.keys()].filter((line) => !wanted.has(line))
  if (lost.length > 0) problems.push(`${lost.length} examples lost, e.g. ${lost[0]}`)
  if (twice.length > 0) problems.push(`${twice.length} examples twice, e.g. ${twice[0]}`)
  if (extra.length > 0) problems.push(`${extra.length} examples too many, e.g. ${extra[0]}`)
}

/** Numeric features travel as float32: left out here, they are the business of the codec's tests. */
function lineOf(example: Example): string {
  const { features, ...rest } = example
  return JSON.stringify({ ...rest, categorical: [...features.categorical] })
}

/**
 * The learner's end state, from its last checkpoint, against a replay of its whole cut log; every example applied once; and
 * every row in Redis against the table.
 */
export async function checkLearner(
  target: Deployment,
  examples: readonly SourceRecord[],
  problems: string[],
): Promise<{ cuts: number; rows: number }> {
  const { kafka, topics, config } = target
  const id = (await readControl(kafka, topics.control, silentLog))!.live!
  const generation = await loadGeneration(openDirectoryStore(config.artifacts.dir), id)
  const engine = await openEngine(config.model.engine).open(generation.model, generation.dense)
  const options = learnerOptions(config.learner)
  const setup = { generation, engine, options, kafka, topics, log: silentLog }
  const left = await restoreState(setup, config.stateDir)
  if (left.checkpoint === null) problems.push('the learner left no checkpoint')
  if (left.replayedCuts > 0) {
    problems.push(`the checkpoint of the end lacks ${left.replayedCuts} cuts`)
  }
  const dir = learnerDir(config.stateDir, id)
  const replayed = await replayCutLog(setup, dir)
  if (tablesOf(left.learner) !== tablesOf(replayed)) {
    problems.push('the tables differ from a replay of the cut log')
  }
  const { examples: applied } = left.learner.counters
  if (applied !== examples.length) {
    problems.push(`the learner applied ${applied} examples of ${examples.length}`)
  }
  const rows = await checkRows(target, id, left.learner, problems)
  return { cuts: (await readCutLog(dir, silentLog)).cutsFrom(null).length, rows }
}

/** What training decides, in one string; what was published when is decided by the clock. */
function tablesOf(learner: Learner): string {
  const { users, items, positions, streamTimeMs } = learner.snapshot()
  const { published: _, isRecallable: _also, ...trained } = items
  const { json, tensors } = packState({
    users: { ...users, table: { ...users.table, dirty: null } },
    items: { ...trained, table: { ...items.table, dirty: null } },
    ...{ positions, streamTimeMs },
  })
  const bytes = [...tensors].map(([name, { data }]) => {
    const view = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    return `${name} ${view.toString('base64')}`
  })
  return [json, ...bytes.sort()].join('\n')
}

async function checkRows(
  { config }: Deployment,
  generation: string,
  learner: Learner,
  problems: string[],
): Promise<number> {
  const store = openOnlineStore(config.redis, silentLog)
  try {
    await store.waitUntilReachable(AbortSignal.timeout(5_000))
    const stale: string[] = []
    let rows = 0
    for (const user of learner.users.all()) {
      rows++
      const partition = partitionOf(user.userId, config.kafka.partitions)
      const { row, isLoaded } = await store.read(generation, partition, user.userId, 5_000)
      const isSame =
        isLoaded &&
        row !== null &&
        row.offset === user.offset &&
        row.eventTimeMs === user.eventTimeMs &&
        bytesOf(row.row).equals(bytesOf(user.row)) &&
        JSON.stringify(row.recentItems) === JSON.stringify(user.recentItems)
      if (!isSame) stale.push(`${user.userId} (offset ${row?.offset}, table ${user.offset})`)
    }
    if (stale.length > 0) {
      problems.push(`${stale.length} of ${rows} rows in Redis are stale, e.g. ${stale[0]}`)
    }
    return rows
  } finally {
    await store.close()
  }
}

/** A user whose row has been served once is never cold again; after Redis was emptied there is DEGRADED, and OK in the end. */
export function checkRecall(
  observations: readonly Observation[],
  flushedAtMs: readonly number[],
  problems: string[],
): Record<string, number> {
  const known = new Set<string>()
  const forgotten = new Set<string>()
  for (const { userId, status } of observations) {
    if (status === 'OK') known.add(userId)
    if (status === 'COLD_USER' && known.has(userId)) forgotten.add(userId)
  }
  if (forgotten.size > 0) {
    problems.push(`${forgotten.size} known users were COLD_USER, e.g. ${[...forgotten][0]}`)
  }
  const replies = observations.filter(({ status }) => status !== 'none')
  if (replies.at(-1)?.status !== 'OK') problems.push(`the last reply was ${replies.at(-1)?.status}`)
  for (const flushedMs of flushedAtMs) {
    const after = replies.filter(({ atMs }) => atMs > flushedMs)
    if (!after.some(({ status }) => status === 'OK')) problems.push('no OK after Redis was emptied')
  }
  return Object.fromEntries(countsOf(observations.map(({ status }) => status)))
}

function countsOf(lines: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const line of lines) counts.set(line, (counts.get(line) ?? 0) + 1)
  return counts
}

function bytesOf(row: Float32Array): Buffer {
  return Buffer.from(row.buffer, row.byteOffset, row.byteLength)
}
