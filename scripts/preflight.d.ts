export interface PreflightFacts {
  /** Without the `v`. */
  readonly nodeVersion: string
  /** null: no Java that runs */
  readonly javaMajor: number | null
  /** False: the brokers are elsewhere. */
  readonly needsJava: boolean
  readonly hasMaven: boolean
  /** False: the broker is in the cache already. */
  readonly needsMaven: boolean
  readonly hasApt: boolean
  readonly isRoot: boolean
}

export type PreflightDecision =
  | { readonly kind: 'ok' }
  | { readonly kind: 'install'; readonly packages: readonly string[] }
  | { readonly kind: 'refuse'; readonly lines: readonly string[] }

export function decide(facts: PreflightFacts): PreflightDecision
export function javaMajorOf(printed: string): number | null
export function preflight(needs: {
  readonly needsJava: boolean
  readonly needsMaven: boolean
}): Promise<void>
export function findJava(): Promise<string | null>
