import { expect, test } from 'vitest'
import { Screen } from '../../../src/cli/screen.ts'

function terminal(isTTY: boolean, columns = 80) {
  const written: string[] = []
  const out = {
    isTTY,
    columns,
    write: (text: string) => written.push(text),
  } as unknown as NodeJS.WriteStream
  return { screen: new Screen(out), written }
}

test('a block is drawn over, and a log line goes above it', () => {
  const { screen, written } = terminal(true)
  screen.draw(['a', 'b'])
  screen.log('news\n')
  screen.draw(['c'])
  expect(written).toEqual(['a\nb\n', '\u001b[2F\u001b[Jnews\na\nb\n', '\u001b[2F\u001b[Jc\n'])
})

test('a line that is too wide is cut, or it would take two rows and the next drawing would miss one', () => {
  const { screen, written } = terminal(true, 5)
  screen.draw(['123456'])
  expect(written).toEqual(['1234…\n'])
})

test('without a terminal nothing is drawn and logs are plain', () => {
  const { screen, written } = terminal(false)
  screen.draw(['a'])
  screen.log('news\n')
  expect(written).toEqual(['news\n'])
})
