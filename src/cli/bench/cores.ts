import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * Which core measures and which does everything else. Both null where processes cannot be pinned (no taskset) or there is only
 * one core: the figures are then of a process that moves between cores, or that shares one with the broker.
 */
export interface Cores {
  readonly measured: number | null
  readonly others: number | null
  readonly all: readonly number[]
}

export async function findCores(): Promise<Cores> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '')
  const all = parseCpuList(/^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1] ?? '')
  const hasTaskset = await run('taskset', ['-p', String(process.pid)]).then(
    () => true,
    () => false,
  )
  if (!hasTaskset || all.length < 2) return { measured: null, others: null, all }
  return { measured: all[0]!, others: all[1]!, all }
}

/** `0-2,5` as Linux writes sets of cores. */
export function parseCpuList(list: string): number[] {
  return list.split(',').flatMap((part) => {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part)
    if (match === null) return []
    const from = Number(match[1])
    const to = Number(match[2] ?? from)
    return Array.from({ length: to - from + 1 }, (_, i) => from + i)
  })
}

/** Every thread of a process; does nothing for no cores. */
export async function pin(pid: number, cores: readonly (number | null)[]): Promise<void> {
  const list = cores.filter((core) => core !== null)
  if (list.length > 0) await run('taskset', ['-a', '-c', '-p', list.join(','), String(pid)])
}
