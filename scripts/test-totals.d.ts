export interface TestReport {
  readonly numTotalTests: number
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: readonly { readonly status: string }[]
  }[]
}

export function totalsOf(
  report: TestReport | null,
  isVitestOk: boolean,
  checks: readonly { readonly name: string; readonly isOk: boolean }[],
): { readonly passed: number; readonly failed: number; readonly problems: readonly string[] }
