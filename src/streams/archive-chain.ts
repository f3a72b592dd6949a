import type { Day, DecidedCut } from './day-cut.ts'

/** A file of the archive: the examples of offsets [from, to) of a partition, all of one day. */
export interface DayFile {
  readonly day: Day
  readonly partition: number
  readonly from: number
  readonly to: number
}

/**
 * The files of one partition that follow each other without a gap and agree with the cuts, as far as they reach. The others were
 * written by a compactor that did not know yet that it had been replaced: what they hold is in the log as well.
 * @param files of the partition
 * @param start where the chain begins; null: with its first file
 */
export function archiveChain(
  files: readonly DayFile[],
  start: number | null,
  decided: readonly DecidedCut[],
): readonly DayFile[] {
  // From the end, so that the best chain behind a file is known when the file is looked at.
  const sound = files.filter((file) => agrees(file, decided)).sort((a, b) => b.from - a.from)
  const best = new Map<number, { readonly file: DayFile; readonly end: number }>()
  for (const file of sound) {
    const end = best.get(file.to)?.end ?? file.to
    if (end > (best.get(file.from)?.end ?? -1)) best.set(file.from, { file, end })
  }
  const chain: DayFile[] = []
  const at = start ?? sound.at(-1)?.from
  for (let next = best.get(at ?? -1); next !== undefined; next = best.get(next.file.to)) {
    chain.push(next.file)
  }
  return chain
}

function agrees({ day, partition, from, to }: DayFile, decided: readonly DecidedCut[]): boolean {
  return decided.every((cut) => {
    const offset = cut.offsets[partition] ?? 0
    return day <= cut.day ? to <= offset : from >= offset
  })
}
