import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

function bench(...args: string[]) {
  const options = { encoding: 'utf8', timeout: 60_000 } as const
  return spawnSync(process.execPath, ['bench/run.js', ...args], options)
}

test('a bench that there is none of is refused with those that there are', () => {
  for (const args of [[], ['joinr'], ['../src/main']]) {
    const { status, stderr } = bench(...args)
    expect(status).toBe(2)
    expect(stderr).toMatch(/^usage: node bench\/run\.js NAME.*\n.* joiner, kills, /)
  }
})

test('an option or a setting that there is none of is named, with what the bench is and takes', () => {
  const option = bench('daily-loop', '--sed', '7')
  expect([option.status, option.stdout]).toEqual([2, ''])
  expect(option.stderr).toMatch(/^Unknown option '--sed'/)
  expect(option.stderr).toContain('node bench/run.js daily-loop')
  expect(option.stderr).toContain('--seed VALUE')
  const setting = bench('daily-loop', '--set', 'learner.learningRat=1')
  expect(setting.status).toBe(2)
  expect(setting.stderr).toContain('learner.learningRat')
})

test('--help says what a bench measures without running it', () => {
  const { status, stdout, stderr } = bench('recall', '--help')
  expect([status, stderr]).toEqual([0, ''])
  expect(stdout).toContain('top-k of 100,000 vectors')
})
