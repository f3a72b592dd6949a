import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { FreshetError } from '../../errors.ts'

/** What is known about a server that was started: enough to recognise exactly that process later. */
interface RunRecord {
  readonly name: string
  readonly pid: number
  /** The process that started it; a server whose parent is another one has lost its owner. */
  readonly ownerPid: number
  /** A word of the server's command line that no other process has. */
  readonly marker: string
  readonly dataDir: string
}

export interface RunClaim {
  /** Must appear in the server's command line. */
  readonly marker: string
  write(pid: number): Promise<void>
  /** Removes the record, unless a later start has replaced it. */
  forget(): Promise<void>
}

const orphanStopMs = 10_000

/**
 * Makes sure that nobody else runs this server, before anything of its data or ports is looked at: an orphan of an
 * earlier start is ended first.
 * @throws FreshetError ALREADY_RUNNING when its owner is still alive
 */
export async function claimRun(name: string, dataDir: string, runDir: string): Promise<RunClaim> {
  const marker = `freshet-${randomUUID()}`
  await fs.mkdir(runDir, { recursive: true })
  const file = path.join(runDir, `${name}.json`)
  const found = await readRecord(file)
  if (found !== null) await endOrphan(found)
  const write = async (pid: number): Promise<void> => {
    const record: RunRecord = { name, pid, ownerPid: process.pid, marker, dataDir }
    await fs.writeFile(`${file}.new`, JSON.stringify(record))
    await fs.rename(`${file}.new`, file)
  }
  const forget = async (): Promise<void> => {
    if ((await readRecord(file))?.marker === marker) await fs.rm(file, { force: true })
  }
  return { marker, write, forget }
}

/**
 * Ends every server whose owner died without ending it (`freshet reset`), and says which those were.
 * @throws FreshetError ALREADY_RUNNING when one of them still has its owner
 */
export async function endOrphans(
  runDir: string,
): Promise<readonly { readonly name: string; readonly pid: number }[]> {
  const names = await fs.readdir(runDir).catch(() => [])
  const ended: RunRecord[] = []
  for (const name of names.filter((candidate) => candidate.endsWith('.json'))) {
    const file = path.join(runDir, name)
    const record = await readRecord(file)
    if (record !== null && (await endOrphan(record))) ended.push(record)
    await fs.rm(file, { force: true })
  }
  return ended
}

/** True: there was one and it is gone. */
async function endOrphan(record: RunRecord): Promise<boolean> {
  const parent = await parentOfMarked(record)
  if (parent === null) return false
  if (parent === record.ownerPid) {
    throw new FreshetError(
      'ALREADY_RUNNING',
      `freshet (pid ${record.ownerPid}) already runs ${record.name} on ${record.dataDir}: stop it first`,
    )
  }
  const deadlineMs = performance.now() + orphanStopMs
  signal(record.pid, 'SIGTERM')
  // A process that is ending has no command line any more, but still holds its ports.
  while ((await readProcess(record.pid)) !== null) {
    const isLate = performance.now() > deadlineMs
    if (isLate && (await parentOfMarked(record)) !== null) signal(record.pid, 'SIGKILL')
    await delay(50)
  }
  return true
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Parent of the recorded process, or null when no process of that pid carries its marker (pids are used again). */
async function parentOfMarked(record: RunRecord): Promise<number | null> {
  const found = await readProcess(record.pid)
  return found?.command.includes(record.marker) === true ? found.parentPid : null
}

/** A zombie counts as gone: where nothing reaps orphans it stays for ever, without ports or files. */
async function readProcess(
  pid: number,
): Promise<{ readonly parentPid: number; readonly command: string } | null> {
  if (process.platform === 'linux') {
    const [status, command] = await Promise.all([
      fs.readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''),
      fs.readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''),
    ])
    const parent = /^PPid:\s*(\d+)/m.exec(status)?.[1]
    const isGone = parent === undefined || /^State:\s*Z/m.test(status)
    return isGone ? null : { parentPid: Number(parent), command }
  }
  const args = ['-ww', '-o', 'ppid=,command=', '-p', String(pid)]
  const printed = await promisify(execFile)('ps', args).catch(() => null)
  const columns = /^\s*(\d+)\s+(.*)/.exec(printed?.stdout ?? '')
  return columns === null ? null : { parentPid: Number(columns[1]), command: columns[2] ?? '' }
}

async function readRecord(file: string): Promise<RunRecord | null> {
  const text = await fs.readFile(file, 'utf8').catch(() => null)
  if (text === null) return null
  const parsed = parseJson(text)
  if (isRunRecord(parsed)) return parsed
  throw new FreshetError('FILE_INVALID', `${file} is no run record: delete it`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function isRunRecord(value: unknown): value is RunRecord {
  const record = value as Partial<RunRecord> | null
  return (
    typeof record === 'object' &&
    Number.isInteger(record?.pid) &&
    Number.isInteger(record?.ownerPid) &&
    typeof record?.marker === 'string' &&
    record.marker.startsWith('freshet-')
  )
}
