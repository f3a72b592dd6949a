import { expect, test } from 'vitest'
import { archiveChain } from '../../../src/streams/archive-chain.ts'
import type { DayFile } from '../../../src/streams/archive-chain.ts'

function file(day: number, from: number, to: number): DayFile {
  return { day, partition: 0, from, to }
}

function rangesOf(files: readonly DayFile[]): [number, number][] {
  return files.map(({ from, to }) => [from, to])
}

test('files that follow each other are a chain, in whatever order they are found', () => {
  const files = [file(2, 9, 12), file(1, 0, 4), file(1, 4, 9)]
  expect(rangesOf(archiveChain(files, 0, []))).toEqual([
    [0, 4],
    [4, 9],
    [9, 12],
  ])
  expect(archiveChain(files, null, [])).toEqual(archiveChain(files, 0, []))
})

test('of several chains it is the one that reaches furthest, and what does not join is left out', () => {
  const files = [file(1, 0, 8), file(1, 0, 5), file(1, 5, 11), file(1, 9, 20)]
  expect(rangesOf(archiveChain(files, 0, []))).toEqual([
    [0, 5],
    [5, 11],
  ])
})

test('it begins where it has to, or not at all', () => {
  const files = [file(1, 0, 4), file(1, 4, 9)]
  expect(rangesOf(archiveChain(files, 4, []))).toEqual([[4, 9]])
  expect(archiveChain(files, 3, [])).toEqual([])
  expect(archiveChain([], null, [])).toEqual([])
})

test('a file that goes over the cut of its day, or begins before it with a later day, is none of it', () => {
  const cut = { day: 1, offsets: [6] }
  expect(archiveChain([file(1, 0, 8)], 0, [cut])).toEqual([])
  expect(archiveChain([file(2, 0, 8)], 0, [cut])).toEqual([])
  const files = [file(1, 0, 6), file(2, 6, 8), file(1, 6, 9)]
  expect(archiveChain(files, 0, [cut])).toEqual([files[0], files[1]])
})
