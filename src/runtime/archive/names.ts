import { FreshetError } from '../../errors.ts'

/** [from, to) of a partition: offsets of the examples topic, or, of a day that was backfilled, its examples counted from 0. */
export interface ArchivedRange {
  readonly partition: number
  readonly from: number
  readonly to: number
}

/** Where a day comes from. What was backfilled has no offsets, so its files must not be taken for parts of the log. */
export type Origin = 'log' | 'backfill'

/** Of everything in the archive. */
export const folder = 'archive'
const dayPattern = /^day=(\d{4}-\d{2}-\d{2})$/
const filePattern = /^examples-(0|[1-9]\d*)-(0|[1-9]\d*)-([1-9]\d*)\.avro$/

/** The day of a folder of the archive; null for anything else. */
export function dayIn(name: string): string | null {
  return dayPattern.exec(name)?.[1] ?? null
}

/** The range of a file of the log; null for anything else. @throws FreshetError FILE_INVALID */
export function rangeIn(day: string, name: string): ArchivedRange | null {
  const match = filePattern.exec(name)
  if (match === null) return null
  const [partition, from, to] = match.slice(1).map(Number) as [number, number, number]
  if (from < to) return { partition, from, to }
  throw new FreshetError('FILE_INVALID', `${folderOf(day)}/${name}: no such offsets`)
}

export function nameOf(
  day: string,
  { partition, from, to }: ArchivedRange,
  origin: Origin,
): string {
  const prefix = origin === 'log' ? 'examples' : 'examples-backfill'
  return `${folderOf(day)}/${prefix}-${partition}-${from}-${to}.avro`
}

export function folderOf(day: string): string {
  return `${folder}/day=${day}`
}

export function catalogueOf(day: string): string {
  return `${folderOf(day)}/catalogue.avro`
}

export function sealOf(day: string): string {
  return `${folderOf(day)}/day.json`
}

export function metadataOf(day: string, { partition, from, to }: ArchivedRange) {
  return {
    'freshet.day': day,
    'freshet.partition': String(partition),
    'freshet.from': String(from),
    'freshet.to': String(to),
  }
}

/** A range that lies inside another was written by a process that did not know yet that it had been replaced: both hold the same. */
export function withoutContained(sorted: readonly ArchivedRange[]): ArchivedRange[] {
  const kept: ArchivedRange[] = []
  for (const one of sorted) {
    const last = kept.at(-1)
    if (last?.partition === one.partition && one.to <= last.to && one.from >= last.from) continue
    kept.push(one)
  }
  return kept
}

/** @throws FreshetError FILE_INVALID where ranges of a partition do not follow each other */
export function checkContiguous(
  day: string,
  ranges: readonly ArchivedRange[],
  origin: Origin,
): void {
  for (const [i, range] of ranges.entries()) {
    const before = ranges[i - 1]
    if (before === undefined || before.partition < range.partition) continue
    if (before.partition === range.partition && before.to === range.from) continue
    const isGap = before.partition === range.partition && before.to < range.from
    const what = isGap
      ? 'leave a gap: examples would be lost'
      : 'overlap: examples would train twice'
    const names = `${nameOf(day, before, origin)} and ${nameOf(day, range, origin)}`
    throw new FreshetError('FILE_INVALID', `${names} ${what}`)
  }
}
