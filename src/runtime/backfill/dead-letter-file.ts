import fs from 'node:fs/promises'
import path from 'node:path'

/** A row or an event that was refused. */
export interface RefusedRow {
  /** One of the codes of errors.ts. */
  readonly code: string
  readonly message: string
  /** Where the row was; not known of an event that the joiner refused. */
  readonly file?: string
  readonly row?: number
  readonly record: unknown
}

const flushBytes = 2 ** 20

/** JSON lines of what was refused, counted by reason. The file is made with the first one. */
export class DeadLetterFile {
  readonly path: string
  readonly #counts = new Map<string, number>()
  #file: fs.FileHandle | null = null
  #waiting: string[] = []
  #bytes = 0

  /** What a run before has left there is removed. */
  static async open(file: string): Promise<DeadLetterFile> {
    await fs.rm(file, { force: true })
    return new DeadLetterFile(file)
  }

  private constructor(file: string) {
    this.path = file
  }

  /** By reason. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts
  }

  add(refused: RefusedRow): void {
    this.#counts.set(refused.code, (this.#counts.get(refused.code) ?? 0) + 1)
    const line = `${JSON.stringify(refused, writable)}\n`
    this.#waiting.push(line)
    this.#bytes += line.length
  }

  /** To be called every so many rows. */
  async flush(bytesMin = flushBytes): Promise<void> {
    if (this.#waiting.length === 0 || this.#bytes < bytesMin) return
    if (this.#file === null) {
      await fs.mkdir(path.dirname(this.path), { recursive: true })
      this.#file = await fs.open(this.path, 'w')
    }
    await this.#file.writeFile(this.#waiting.join(''))
    this.#waiting = []
    this.#bytes = 0
  }

  async close(): Promise<void> {
    await this.flush(0)
    await this.#file?.close()
    this.#file = null
  }
}

/** Integers beyond 2^53 as text, maps as objects. */
function writable(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  return value instanceof Map ? Object.fromEntries(value as Map<string, unknown>) : value
}
