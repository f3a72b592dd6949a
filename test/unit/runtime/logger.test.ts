import { expect, test } from 'vitest'
import { createLogger } from '../../../src/runtime/logger.ts'

function logged(format: 'json' | 'text') {
  const lines: string[] = []
  const log = createLogger({ level: 'info', format, write: (line) => lines.push(line) })
  log.debug({}, 'too fine')
  log.child({ role: 'joiner' }).warn({ partition: 3, lost: ['a'] }, 'fenced')
  return lines
}

test('text is one readable sentence a line', () => {
  expect(logged('text')).toEqual([
    expect.stringMatching(
      /^\d\d:\d\d:\d\d\.\d{3} WARN {2}joiner: fenced partition=3 lost=\["a"\]\n$/,
    ),
  ])
})

test('json is one object a line', () => {
  expect(logged('json').map((line) => JSON.parse(line) as unknown)).toEqual([
    expect.objectContaining({ level: 40, role: 'joiner', partition: 3, msg: 'fenced' }),
  ])
})
