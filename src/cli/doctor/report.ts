import { plural } from './check.ts'
import type { Status } from './check.ts'
import type { GroupFinding } from './judge.ts'

/** One line a finding; below what is not in order, why and what mends it. */
export function describeFindings(findings: readonly GroupFinding[]): string {
  const lines: string[] = []
  let last: string | null = null
  for (const { group, check, status, what, why, mend } of merged(findings)) {
    if (group !== last) lines.push(...(last === null ? [] : ['']), group)
    last = group
    const word = status === 'problem' ? 'PROBLEM' : status
    lines.push(`  ${word.padEnd(8)} ${check.padEnd(20)} ${what}`)
    for (const [name, text] of Object.entries({ why, mend })) {
      if (text === undefined) continue
      const [first, ...rest] = text.split('\n')
      lines.push(`             ${`${name}:`.padEnd(5)} ${first}`, ...rest.map(indented))
    }
  }
  const count = (status: Status) => findings.filter((one) => one.status === status).length
  const total = `${plural(count('problem'), 'problem')}, ${plural(count('warning'), 'warning')}, ${count('unknown')} could not be told, ${count('ok')} ok`
  return [...lines, '', total, ''].join('\n')
}

/** What could not be told for one reason is one line. */
function merged(findings: readonly GroupFinding[]): GroupFinding[] {
  const lines: GroupFinding[] = []
  for (const finding of findings) {
    const { status, group, what, check } = finding
    const before = lines.at(-1)
    const isSame = before?.status === status && before.group === group && before.what === what
    if (status !== 'unknown' || !isSame) lines.push(finding)
    else lines[lines.length - 1] = { ...before, check: `${before.check}, ${check}` }
  }
  return lines
}

function indented(line: string): string {
  return `                   ${line}`
}
