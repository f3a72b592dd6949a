import fs from 'node:fs/promises'
import path from 'node:path'
import { FreshetError, messageOf } from '../../errors.ts'
import { encodeSafetensors, parseSafetensors } from '../../records/safetensors.ts'
import type { FullUpdateSnapshot } from '../../streams/full-update.ts'
import { packState, unpackState } from '../checkpoint-state.ts'
import { readWhole, sha256Of, syncFolder, writeDurably } from '../generation/artifact-store.ts'
import type { Logger } from '../ports.ts'

/** How far a full update has come. */
export interface FullUpdateCheckpoint {
  readonly snapshot: FullUpdateSnapshot
  /** Examples that it contains. */
  readonly trained: number
  /** Wall-clock time spent on them. */
  readonly spentMs: number
}

const kept = 2
const namePattern = /^(\d{12})-([0-9a-f]{64})\.safetensors$/

/**
 * Checkpoints of one full update: files `<examples>-<sha256>.safetensors`, so that a file says itself whether it is whole. The
 * newest two are kept: one that turns out to be damaged costs time and nothing else.
 */
export class FullUpdateCheckpoints {
  readonly #dir: string
  readonly #key: string
  readonly #log: Logger

  /** @param key of everything that the result depends on: a checkpoint made under another is of no use */
  constructor(dir: string, key: string, log: Logger) {
    this.#dir = dir
    this.#key = key
    this.#log = log
  }

  async write({ snapshot, trained, spentMs }: FullUpdateCheckpoint): Promise<void> {
    const { json, tensors } = packState(snapshot)
    const about = JSON.stringify({ key: this.#key, trained, spentMs })
    await fs.mkdir(this.#dir, { recursive: true })
    const temporary = path.join(this.#dir, `${process.pid}.tmp`)
    const facts = await writeDurably(temporary, encodeSafetensors(tensors, { about, json }))
    const name = `${String(trained).padStart(12, '0')}-${facts.sha256}.safetensors`
    await fs.rename(temporary, path.join(this.#dir, name))
    await syncFolder(this.#dir)
    for (const old of (await this.#names()).slice(kept)) await fs.rm(path.join(this.#dir, old))
  }

  /** The one that goes furthest and can be used; null without one. Those that cannot are said, and removed. */
  async newest(): Promise<FullUpdateCheckpoint | null> {
    await this.#removeUnfinished()
    for (const name of await this.#names()) {
      const file = path.join(this.#dir, name)
      try {
        return await this.#read(file)
      } catch (error) {
        this.#log.warn(
          { checkpoint: file, error: messageOf(error) },
          'a checkpoint of the full update cannot be used, trying the one before',
        )
        // Else it would outlive newer ones that have not come as far.
        await fs.rm(file, { force: true })
      }
    }
    return null
  }

  async #read(file: string): Promise<FullUpdateCheckpoint> {
    const bytes = await readWhole(file)
    if (sha256Of(bytes) !== namePattern.exec(path.basename(file))![2]) {
      throw new FreshetError('CHECKPOINT_INVALID', 'its sha256 is not the one in its name')
    }
    // The hash says that these are the bytes that `write` made.
    const { tensors, metadata } = parseSafetensors(bytes)
    const about = JSON.parse(metadata['about']!) as { key: string } & FullUpdateCheckpoint
    if (about.key !== this.#key) {
      throw new FreshetError('CHECKPOINT_INVALID', 'it was made from other data or settings')
    }
    const snapshot = unpackState({ json: metadata['json']!, tensors }) as FullUpdateSnapshot
    return { snapshot, trained: about.trained, spentMs: about.spentMs }
  }

  /** What a kill in the middle of writing left. */
  async #removeUnfinished(): Promise<void> {
    for (const name of await fs.readdir(this.#dir).catch(() => [])) {
      if (name.endsWith('.tmp')) await fs.rm(path.join(this.#dir, name))
    }
  }

  /** The furthest first. */
  async #names(): Promise<string[]> {
    const names = await fs.readdir(this.#dir).catch(() => [])
    return names
      .filter((name) => namePattern.test(name))
      .sort()
      .reverse()
  }
}
