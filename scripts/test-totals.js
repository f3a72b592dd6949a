// What the last line of `npm test` says.

/**
 * Totals over the checks and vitest's JSON report (null: it wrote none). A file that could not be loaded holds no
 * failed test, and an unhandled error belongs to none: both still count as one failure.
 */
export function totalsOf(report, isVitestOk, checks) {
  const problems = []
  let passed = checks.filter((check) => check.isOk).length
  let failed = checks.length - passed
  if (report !== null) {
    passed += report.numPassedTests
    failed += report.numFailedTests
    for (const file of report.testResults) {
      const hasFailedTest = file.assertionResults.some((test) => test.status === 'failed')
      if (file.status !== 'failed' || hasFailedTest) continue
      failed += 1
      problems.push(`${file.name} could not be run: ${file.message}`)
    }
  }
  if (failed === 0 && (!isVitestOk || report === null || report.numTotalTests === 0)) {
    failed = 1
    problems.push('vitest failed outside any test; see above')
  }
  return { passed, failed, problems }
}
