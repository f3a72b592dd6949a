import fs from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { FreshetError, messageOf } from '../errors.ts'
import { encodeSafetensors, parseSafetensors } from '../records/safetensors.ts'
import type { LearnerOptions, LearnerSnapshot } from '../streams/learner-types.ts'
import { packState, unpackState } from './checkpoint-state.ts'
import type { CutLogPosition } from './cut-log.ts'
import { readWhole, sha256Of, syncFolder, writeDurably } from './generation/artifact-store.ts'
import type { Logger } from './ports.ts'

/** The learner's whole state, and up to where of the cut log it goes. */
export interface Checkpoint {
  readonly position: CutLogPosition
  readonly options: LearnerOptions
  readonly snapshot: LearnerSnapshot
}

const kept = 2

const file = z.strictObject({ bytes: z.number(), sha256: z.string() })
const manifestSchema = z.strictObject({
  format: z.literal(2),
  generation: z.string(),
  position: z.strictObject({ segment: z.number().int(), bytes: z.number().int() }),
  options: z.record(z.string(), z.unknown()),
  files: z.strictObject({ 'state.json': file, 'state.safetensors': file }),
})

/**
 * Checkpoints of one generation: folders `checkpoint-<segment>-<number>`, each there whole or not at all. The newest two are
 * kept, so that one that turns out to be damaged costs time and nothing else.
 */
export class CheckpointStore {
  readonly #dir: string
  readonly #generation: string
  readonly #log: Logger
  #number = 0

  constructor(dir: string, generation: string, log: Logger) {
    this.#dir = dir
    this.#generation = generation
    this.#log = log
  }

  async write({ position, options, snapshot }: Checkpoint): Promise<void> {
    const packed = packState(snapshot)
    const name = nameOf(position.segment, ++this.#number)
    const temporary = path.join(this.#dir, `${name}.tmp`)
    await fs.rm(temporary, { recursive: true, force: true })
    await fs.mkdir(temporary, { recursive: true })
    const put = (file: string, parts: readonly Uint8Array[]) =>
      writeDurably(path.join(temporary, file), parts)
    const files = {
      'state.json': await put('state.json', [Buffer.from(packed.json)]),
      'state.safetensors': await put('state.safetensors', encodeSafetensors(packed.tensors)),
    }
    const manifest = { format: 2, generation: this.#generation, position, options, files }
    await put('manifest.json', [Buffer.from(JSON.stringify(manifest, null, 2))])
    await syncFolder(temporary)
    await fs.rename(temporary, path.join(this.#dir, name))
    await syncFolder(this.#dir)
    for (const old of (await this.#names()).slice(kept)) {
      await fs.rm(path.join(this.#dir, old), { recursive: true, force: true })
    }
  }

  /**
   * The newest checkpoint that is whole and that `isUsable`; null without one. Each one passed over is said.
   */
  async newest(isUsable: (position: CutLogPosition) => boolean): Promise<Checkpoint | null> {
    for (const name of await this.#names()) {
      try {
        const checkpoint = await this.#read(path.join(this.#dir, name))
        if (isUsable(checkpoint.position)) return checkpoint
        throw invalid('it goes beyond the cut log')
      } catch (error) {
        this.#log.error(
          { checkpoint: path.join(this.#dir, name), error: messageOf(error) },
          'a checkpoint cannot be used, trying the one before',
        )
      }
    }
    return null
  }

  async #read(dir: string): Promise<Checkpoint> {
    const json: unknown = JSON.parse((await readWhole(path.join(dir, 'manifest.json'))).toString())
    const parsed = manifestSchema.safeParse(json)
    if (!parsed.success) throw invalid(`manifest.json: ${z.prettifyError(parsed.error)}`)
    const { generation, position, options, files } = parsed.data
    if (generation !== this.#generation) throw invalid(`it belongs to generation ${generation}`)
    const read = async (name: keyof typeof files): Promise<Buffer> => {
      const bytes = await readWhole(path.join(dir, name))
      const { bytes: size, sha256 } = files[name]
      if (bytes.length !== size) throw invalid(`${name} has ${bytes.length} bytes, not ${size}`)
      if (sha256Of(bytes) !== sha256) throw invalid(`${name} does not have its sha256`)
      return bytes
    }
    const text = (await read('state.json')).toString()
    const { tensors } = parseSafetensors(await read('state.safetensors'))
    // The hash says that these are the bytes that `write` made of a snapshot.
    const snapshot = unpackState({ json: text, tensors }) as LearnerSnapshot
    return { position, options: options as unknown as LearnerOptions, snapshot }
  }

  /** Newest first: segments in order, then numbers. */
  async #names(): Promise<string[]> {
    const names = await fs.readdir(this.#dir).catch(() => [])
    return names
      .filter((name) => /^checkpoint-\d+-\d+$/.test(name))
      .sort()
      .reverse()
  }
}

function nameOf(segment: number, number: number): string {
  const digits = (value: number) => String(value).padStart(8, '0')
  return `checkpoint-${digits(segment)}-${digits(number)}`
}

function invalid(message: string): FreshetError {
  return new FreshetError('CHECKPOINT_INVALID', message)
}
