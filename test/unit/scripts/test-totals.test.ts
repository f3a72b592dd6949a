import { expect, test } from 'vitest'
import { type TestReport, totalsOf } from '../../../scripts/test-totals.js'

const report: TestReport = {
  numTotalTests: 3,
  numPassedTests: 3,
  numFailedTests: 0,
  testResults: [
    { name: 'a.test.ts', status: 'passed', message: '', assertionResults: [{ status: 'passed' }] },
  ],
}
const checks = [
  { name: 'Format', isOk: true },
  { name: 'Lint', isOk: true },
]

test('checks and tests add up', () => {
  expect(totalsOf(report, true, checks)).toEqual({ passed: 5, failed: 0, problems: [] })
})

test('a failed check fails the whole though every test passed', () => {
  const totals = totalsOf(report, true, [{ name: 'Lint', isOk: false }])
  expect(totals).toMatchObject({ passed: 3, failed: 1 })
})

test('a file that cannot be loaded counts, and a file with failed tests does not count twice', () => {
  const broken = { name: 'b.test.ts', status: 'failed', message: 'no such module' }
  const unloaded = { ...report, testResults: [{ ...broken, assertionResults: [] }] }
  expect(totalsOf(unloaded, false, checks)).toMatchObject({ passed: 5, failed: 1 })
  const failing = {
    ...report,
    ...{ numPassedTests: 2, numFailedTests: 1 },
    testResults: [{ ...broken, assertionResults: [{ status: 'failed' }] }],
  }
  expect(totalsOf(failing, false, checks)).toMatchObject({ passed: 4, failed: 1 })
})

test.each([
  ['vitest failed without a failed test', report, false],
  ['vitest wrote no report', null, true],
  ['no test ran', { ...report, numTotalTests: 0, numPassedTests: 0, testResults: [] }, true],
])('%s: a failure', (_name, found, isVitestOk) => {
  const totals = totalsOf(found, isVitestOk, checks)
  expect(totals.failed).toBe(1)
  expect(totals.problems).toHaveLength(1)
})
