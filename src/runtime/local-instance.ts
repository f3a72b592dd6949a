import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** What `npm start` leaves for other commands in the same folder: where its servers are. */
export interface LocalInstance {
  readonly pid: number
  readonly metricsUrl: string | null
  /** A piece of configuration: addresses, folders, the model. */
  readonly settings: Readonly<Record<string, unknown>>
}

/** Not among the records of servers in `.freshet/run`: it may outlive its process, and they are read one by one. */
const file = '.freshet/instance.json'

export function writeLocalInstance(instance: LocalInstance): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(`${file}.tmp`, JSON.stringify(instance))
  renameSync(`${file}.tmp`, file)
}

export function removeLocalInstance(): void {
  rmSync(file, { force: true })
}

/** Null where none runs: a file whose process is gone says nothing. */
export function readLocalInstance(): LocalInstance | null {
  try {
    const instance = JSON.parse(readFileSync(file, 'utf8')) as LocalInstance
    process.kill(instance.pid, 0)
    return instance
  } catch {
    return null
  }
}
