import { expect, test, vi } from 'vitest'
import { atExit } from '../../../../src/runtime/local/at-exit.ts'

test('however many wait for the exit, Node sees one listener, and none when all have taken it back', () => {
  const before = process.listenerCount('exit')
  const ends = Array.from({ length: 20 }, () => vi.fn())
  const takesBack = ends.map((end) => atExit(end))
  expect(process.listenerCount('exit')).toBe(before + 1)
  takesBack[0]!()
  for (const listener of process.listeners('exit').slice(before)) listener(0)
  expect(ends.map((end) => end.mock.calls.length)).toEqual([0, ...Array<number>(19).fill(1)])
  for (const takeBack of takesBack) takeBack()
  expect(process.listenerCount('exit')).toBe(before)
})
