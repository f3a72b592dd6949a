import { describe, expect, test } from 'vitest'
import {
  fences,
  inlineCommands,
  mentions,
  problemOf,
  unmarked,
} from '../../support/documented-commands.ts'

// What is documented as a command is run by test/integration/documented-commands.test.ts.
describe('what the pages only mention', () => {
  const all = new Map(mentions().map((each) => [each.text, each]))

  test('is found', () => {
    expect(all.size).toBeGreaterThan(15)
    expect(fences().length).toBeGreaterThan(20)
    expect(inlineCommands().length).toBeGreaterThan(20)
  })

  test.each([...all.values()])('$text ($file:$line) exists', ({ text }) => {
    expect(problemOf(text)).toBeNull()
  })

  test('a misspelt command or option is told', () => {
    expect(problemOf('npx freshet recal --user 1')).toBe('there is no command recal')
    expect(problemOf('freshet recall --usr 1')).toBe('recall has no option --usr')
    expect(problemOf('freshet bench pipeline --quick')).toBeNull()
  })

  test('a fence of commands is marked as one, or nobody would run it', () => {
    expect(unmarked()).toEqual([])
  })
})
