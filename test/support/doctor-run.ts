import { expect } from 'vitest'
import type { GroupFinding } from '../../src/cli/doctor/judge.ts'
import type { Deployment } from './deployment.ts'

/** `freshet doctor --json` on a deployment. */
export async function examine(target: Deployment, ...args: string[]) {
  const { code, stdout, stderr } = await target.run('doctor', '--json', ...args)
  expect(stderr).toBe('')
  const { problems, findings } = JSON.parse(stdout) as {
    problems: number
    findings: GroupFinding[]
  }
  return { code, problems, findings }
}
