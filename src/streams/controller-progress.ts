import type { ControlDocument } from '../records/types.ts'
import type { KnownReports } from './controller-known.ts'

export interface ControllerOptions {
  /** Of the examples and of the items topic. */
  readonly partitions: number
  /** How many generations stay in the store. */
  readonly keep: number
  readonly caughtUpMs: number
  readonly readyPods: number
  readonly switchTimeoutMs: number
  readonly rollbackWindowMs: number
  /** False: a candidate goes live without today's events. */
  readonly catchUp: boolean
}

export interface PartitionProgress {
  readonly partition: number
  /** Examples behind the live generation; null: not heard of. */
  readonly behind: number | null
  /** Event time behind the live generation; null: not known. */
  readonly behindMs: number | null
  readonly isCaughtUp: boolean
}

/** How far the candidate is, as the reports have it. Each milestone stands for itself here. */
export interface Progress {
  readonly isIndexed: boolean
  readonly pods: readonly {
    readonly instance: string
    readonly isSilent: boolean
    readonly hasVerified: boolean
  }[]
  readonly isLoaded: boolean
  /** Its rows are in the online store. */
  readonly hasRows: boolean
  /** Every partition of examples. */
  readonly partitions: readonly PartitionProgress[]
  readonly isCaughtUp: boolean
  /** One line for each milestone that is missing; who is missing, by name and number. */
  readonly waitsFor: readonly string[]
}

export function progressOf(
  candidate: string,
  document: ControlDocument,
  known: KnownReports,
  nowMs: number,
  options: ControllerOptions,
): Progress {
  const pods = known.pods(nowMs).map(({ instance, isSilent, body }) => ({
    ...{ instance, isSilent, hasVerified: body.verified.includes(candidate) },
  }))
  const ready = pods.filter((pod) => pod.hasVerified && !pod.isSilent)
  // A snapshot that was sent stays sent, and no pod can have verified one that was not.
  const isIndexed =
    known.indexed(candidate) !== null ||
    pods.some((pod) => pod.hasVerified) ||
    (document.states[candidate] ?? 'trained') !== 'trained'
  const partitions = partitionsOf(candidate, document, known, nowMs, options)
  const progress = {
    ...{ isIndexed, pods, partitions },
    isLoaded: ready.length >= options.readyPods,
    hasRows: known.lineage(candidate, nowMs)?.isLoaded === true,
  }
  const isCaughtUp = progress.hasRows && partitions.every((partition) => partition.isCaughtUp)
  const waitsFor = [
    ...(isIndexed ? [] : ['the indexer has not sent a snapshot of it']),
    ...(progress.isLoaded ? [] : [missingPods(pods, options.readyPods)]),
    ...(isCaughtUp || !options.catchUp ? [] : missingLearning(candidate, progress, known, nowMs)),
  ]
  return { ...progress, isCaughtUp, waitsFor }
}

function partitionsOf(
  candidate: string,
  { live }: ControlDocument,
  known: KnownReports,
  nowMs: number,
  options: ControllerOptions,
): PartitionProgress[] {
  const find = (generation: string | null, partition: number) =>
    generation === null
      ? undefined
      : known
          .lineage(generation, nowMs)
          ?.learnedThrough.find((learned) => learned.partition === partition)
  return Array.from({ length: options.partitions }, (_, partition) => {
    const own = find(candidate, partition)
    const ahead = find(live, partition)
    if (own === undefined) return unknown(partition)
    // Nothing is live: there is nobody to be behind.
    if (live === null) return { partition, behind: 0, behindMs: 0, isCaughtUp: true }
    if (ahead === undefined) return unknown(partition)
    const behind = Math.max(0, ahead.offset - own.offset)
    const hasTimes = ahead.eventTimeMs > 0 && own.eventTimeMs > 0
    const behindMs = hasTimes ? Math.max(0, ahead.eventTimeMs - own.eventTimeMs) : null
    const isClose = behindMs !== null && behindMs <= options.caughtUpMs
    return { partition, behind, behindMs, isCaughtUp: behind === 0 || isClose }
  })
}

function unknown(partition: number): PartitionProgress {
  return { partition, behind: null, behindMs: null, isCaughtUp: false }
}

function missingPods(pods: Progress['pods'], readyPods: number): string {
  const ready = pods.filter((pod) => pod.hasVerified && !pod.isSilent).length
  const waiting = pods.filter((pod) => !pod.hasVerified && !pod.isSilent)
  const silent = pods.filter((pod) => pod.isSilent)
  const who = [
    ...(waiting.length === 0 ? [] : [`not yet: ${namesOf(waiting)}`]),
    ...(silent.length === 0 ? [] : [`silent: ${namesOf(silent)}`]),
    ...(pods.length === 0 ? ['none has been heard of'] : []),
  ]
  return `${ready} of ${readyPods} recall pods have verified it (${who.join('; ')})`
}

function missingLearning(
  candidate: string,
  { hasRows, partitions }: Pick<Progress, 'hasRows' | 'partitions'>,
  known: KnownReports,
  nowMs: number,
): string[] {
  const learners = known.learners(nowMs)
  const heard = learners.filter(({ isSilent }) => !isSilent)
  if (learners.length === 0) return ['no learner has been heard of']
  if (heard.length === 0) return [`the learner is silent: ${namesOf(learners)}`]
  if (known.lineage(candidate, nowMs) === null)
    return [`learner ${namesOf(heard)} has not begun it`]
  const behind = partitions.filter((partition) => !partition.isCaughtUp)
  return [
    ...(hasRows ? [] : ['its user rows are not all in the online store']),
    ...(behind.length === 0 ? [] : [`behind the live generation: ${partitionsText(behind)}`]),
  ]
}

const namedMax = 8

function namesOf(all: readonly { readonly instance: string }[]): string {
  return firstOf(all.map(({ instance }) => instance))
}

function partitionsText(all: readonly PartitionProgress[]): string {
  return firstOf(
    all.map(({ partition, behind, behindMs }) => {
      if (behind === null) return `partition ${partition} (not heard of)`
      const time = behindMs === null ? '' : `, ${(behindMs / 1_000).toFixed(1)} s`
      return `partition ${partition} (${behind} examples${time})`
    }),
  )
}

function firstOf(texts: readonly string[]): string {
  const more = texts.length - namedMax
  return `${texts.slice(0, namedMax).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
