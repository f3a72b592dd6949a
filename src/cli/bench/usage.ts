import { readFile } from 'node:fs/promises'

/** What a process uses, as /proc has it. */
export interface Usage {
  readonly cpuSeconds: number
  readonly rssBytes: number
  readonly peakRssBytes: number
}

/** USER_HZ, 100 on every Linux that Node runs on. */
const ticksPerSecond = 100

/** null where there is no /proc, or no such process. */
export async function usageOf(pid: number): Promise<Usage | null> {
  try {
    const [stat, status] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile(`/proc/${pid}/status`, 'utf8'),
    ])
    return { cpuSeconds: cpuSecondsIn(stat), ...memoryIn(status) }
  } catch {
    return null
  }
}

/** User and system time; the name before them may hold spaces and brackets. */
export function cpuSecondsIn(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

export function memoryIn(status: string): Pick<Usage, 'rssBytes' | 'peakRssBytes'> {
  const kilobytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(status)?.[1] ?? 0)
  return { rssBytes: kilobytes('VmRSS') * 1_024, peakRssBytes: kilobytes('VmHWM') * 1_024 }
}

/** Of this process, every thread: a rate by it is what a core of its own would give, however busy the machine is. */
export function ownCpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
