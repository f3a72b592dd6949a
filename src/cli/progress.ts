import type { Screen } from './screen.ts'

const plainEveryMs = 5_000

/** Shows a line in place; without a terminal it is written every few seconds. */
export function everySoOften(screen: Screen): (line: string) => void {
  let toldAt = performance.now()
  return (line) => {
    screen.draw([line])
    if (screen.isInteractive || performance.now() - toldAt < plainEveryMs) return
    toldAt = performance.now()
    screen.log(`${line}\n`)
  }
}

export function count(value: number): string {
  return value.toLocaleString('en-US')
}
