import { createHash } from 'node:crypto'
import { z } from 'zod'
import { FreshetError, messageOf } from '../../errors.ts'
import type { AvroReader } from '../../records/avro-io.ts'
import { bodyOfExample, passExample } from '../../records/example-codec.ts'
import { decodeContainer, encodeContainer } from '../../records/object-container.ts'
import { example } from '../../records/schemas.ts'
import type { CatalogueChange } from '../../streams/learner-types.ts'
import type { ArtifactStore } from '../generation/artifact-store.ts'
import type { Logger } from '../ports.ts'
import { decodeCatalogueFile, encodeCatalogueFile } from './catalogue-file.ts'
import { deflate } from './deflate.ts'
import {
  catalogueOf,
  checkContiguous,
  dayIn,
  folder,
  folderOf,
  metadataOf,
  nameOf,
  rangeIn,
  sealOf,
  withoutContained,
  type ArchivedRange,
  type Origin,
} from './names.ts'

export type { ArchivedRange } from './names.ts'

const range = z.strictObject({
  partition: z.number().int().nonnegative(),
  from: z.number().int().nonnegative(),
  to: z.number().int().nonnegative(),
})

const daySeal = z.strictObject({
  format: z.literal(1),
  day: z.string(),
  ranges: z.array(range).readonly(),
  examples: z.number().int().nonnegative(),
  hash: z.string(),
  backfill: z.string().optional(),
})

/** What a day holds once its cut is fixed. `hash`: see ExamplesHash; `backfill`: the run that made it, where the log did not. */
export type DaySeal = z.infer<typeof daySeal>

/**
 * Examples by day on the artifact store, as Avro object container files that any Avro library reads:
 *   archive/day=2026-11-24/examples-<partition>-<from>-<to>.avro, catalogue.avro, day.json
 * A file is there whole or not at all, and its name says which offsets it holds, so a writer that starts again sees what is missing.
 */
export interface Archive {
  /** Ranges of a day of the log, by partition and offset; only what is durably there. */
  ranges(day: string): Promise<readonly ArchivedRange[]>
  days(): Promise<readonly string[]>
  /** Every file of a day of the log, also those whose range lies inside another's. */
  files(day: string): Promise<readonly ArchivedRange[]>
  /** Removes a file that another one, or the log, makes superfluous. */
  remove(day: string, range: ArchivedRange): Promise<void>
  /** One past the last archived offset of each partition. */
  through(): Promise<ReadonlyMap<number, number>>
  /** Writes the examples of [from, to), all of one day. `values`: record values of the topic, in order; heartbeats are left out. */
  write(
    day: string,
    range: ArchivedRange,
    values: readonly Buffer[],
    origin?: Origin,
  ): Promise<void>
  /**
   * Avro bodies of every example of a day, file by file; of a sealed day: of the files that were sealed.
   * @throws FreshetError FILE_INVALID where ranges overlap or leave a gap, or a file is damaged
   */
  read(day: string): AsyncIterable<readonly Buffer[]>
  /** Items by id; a null item is withdrawn. */
  writeCatalogue(day: string, entries: readonly CatalogueChange[]): Promise<void>
  /** @throws FreshetError FILE_MISSING, FILE_INVALID */
  readCatalogue(day: string): Promise<readonly CatalogueChange[]>
  /**
   * Fixes what the day holds. The files are read once.
   * @param backfill the run that made the day, where the log did not
   * @throws FreshetError FILE_INVALID
   */
  seal(day: string, ranges: readonly ArchivedRange[], backfill?: string): Promise<DaySeal>
  /** Null while a day is open. @throws FreshetError FILE_INVALID */
  readSeal(day: string): Promise<DaySeal | null>
  /** Removes a day and everything in it. */
  removeDay(day: string): Promise<void>
  /** Null: there is none. @throws FreshetError FILE_INVALID */
  newestBackfilled(): Promise<string | null>
}

/** @param log is told which files are passed over */
export function openArchive(store: ArtifactStore, log?: Pick<Logger, 'warn'>): Archive {
  return new StoredArchive(store, log)
}

/**
 * A 128-bit hash of a set of examples that does not depend on their order: the sum, modulo 2^128, of the first 16 bytes of the SHA-256 of each
 * example's Avro body, with its partition as four bytes in front, both big-endian.
 */
export class ExamplesHash {
  #sum = 0n
  #count = 0
  readonly #partition = Buffer.alloc(4)

  get count(): number {
    return this.#count
  }

  add(partition: number, body: Buffer): void {
    this.#partition.writeUInt32BE(partition)
    const digest = createHash('sha256').update(this.#partition).update(body).digest()
    this.#sum += (digest.readBigUInt64BE(0) << 64n) | digest.readBigUInt64BE(8)
    this.#count++
  }

  /** 32 hex digits. */
  digest(): string {
    return BigInt.asUintN(128, this.#sum).toString(16).padStart(32, '0')
  }
}

class StoredArchive implements Archive {
  readonly #store: ArtifactStore
  readonly #log: Pick<Logger, 'warn'> | undefined

  constructor(store: ArtifactStore, log: Pick<Logger, 'warn'> | undefined) {
    this.#store = store
    this.#log = log
  }

  async days(): Promise<readonly string[]> {
    const names = await this.#store.list(folder)
    return names.flatMap((name) => dayIn(name) ?? [])
  }

  async ranges(day: string): Promise<readonly ArchivedRange[]> {
    return withoutContained(await this.files(day))
  }

  async files(day: string): Promise<readonly ArchivedRange[]> {
    const names = await this.#store.list(folderOf(day))
    const found = names.flatMap((name) => rangeIn(day, name) ?? [])
    // Of two that begin at one offset the longer comes first, and the other one lies inside it.
    return found.sort((a, b) => a.partition - b.partition || a.from - b.from || b.to - a.to)
  }

  async remove(day: string, range: ArchivedRange): Promise<void> {
    await this.#store.remove(nameOf(day, range, 'log'))
  }

  async through(): Promise<ReadonlyMap<number, number>> {
    const ends = new Map<number, number>()
    for (const day of await this.days()) {
      for (const { partition, to } of await this.ranges(day)) {
        ends.set(partition, Math.max(to, ends.get(partition) ?? 0))
      }
    }
    return ends
  }

  async write(
    day: string,
    range: ArchivedRange,
    values: readonly Buffer[],
    origin: Origin = 'log',
  ): Promise<void> {
    const bodies = values.flatMap((value) => bodyOfExample(value) ?? [])
    const metadata = metadataOf(day, range)
    const file = encodeContainer(example, bodies, { metadata })
    await this.#store.put(nameOf(day, range, origin), file)
  }

  async *read(day: string): AsyncGenerator<readonly Buffer[]> {
    const files = await this.files(day)
    const seal = await this.readSeal(day)
    const ranges = seal?.ranges ?? withoutContained(files)
    const origin = originOf(seal?.backfill)
    checkContiguous(day, ranges, origin)
    this.#sayPassedOver(day, files, origin === 'log' ? ranges : [])
    for (const one of ranges) yield await this.#readFile(day, one, origin)
  }

  async writeCatalogue(day: string, entries: readonly CatalogueChange[]): Promise<void> {
    await this.#store.put(catalogueOf(day), encodeCatalogueFile(entries))
  }

  async readCatalogue(day: string): Promise<readonly CatalogueChange[]> {
    const name = catalogueOf(day)
    return naming(name, decodeCatalogueFile)(await this.#store.get(name))
  }

  async seal(day: string, ranges: readonly ArchivedRange[], backfill?: string): Promise<DaySeal> {
    const origin = originOf(backfill)
    checkContiguous(day, ranges, origin)
    const hash = new ExamplesHash()
    for (const one of ranges) {
      for (const body of await this.#readFile(day, one, origin)) hash.add(one.partition, body)
    }
    const seal: DaySeal = {
      ...{ format: 1, day, ranges, examples: hash.count, hash: hash.digest() },
      ...(backfill === undefined ? {} : { backfill }),
    }
    await this.#store.put(sealOf(day), [Buffer.from(`${JSON.stringify(seal, null, 2)}\n`)])
    return seal
  }

  async readSeal(day: string): Promise<DaySeal | null> {
    const name = sealOf(day)
    if (!(await this.#store.exists(name))) return null
    const bytes = await this.#store.get(name)
    return naming(name, (text: Buffer) => {
      const { data, error } = daySeal.safeParse(JSON.parse(text.toString()))
      if (error !== undefined) throw new FreshetError('FILE_INVALID', z.prettifyError(error))
      if (data.day !== day) throw new FreshetError('FILE_INVALID', `it is the seal of ${data.day}`)
      return data
    })(bytes)
  }

  async removeDay(day: string): Promise<void> {
    await this.#store.remove(folderOf(day))
  }

  async newestBackfilled(): Promise<string | null> {
    for (const day of (await this.days()).toReversed()) {
      if ((await this.readSeal(day))?.backfill !== undefined) return day
    }
    return null
  }

  async #readFile(day: string, one: ArchivedRange, origin: Origin): Promise<Buffer[]> {
    const name = nameOf(day, one, origin)
    const bytes = await this.#store.get(name)
    return naming(name, () => {
      const options = { codecs: [deflate], countMax: one.to - one.from }
      const { metadata, values } = decodeContainer(example, bytes, bodyAt, options)
      for (const [key, expected] of Object.entries(metadataOf(day, one))) {
        const found = metadata.get(key)
        // Files that others have written have a name alone.
        if (found !== undefined && found !== expected) {
          throw new FreshetError('FILE_INVALID', `${key} is ${found} in it: it was renamed`)
        }
      }
      return values
    })(bytes)
  }

  #sayPassedOver(
    day: string,
    files: readonly ArchivedRange[],
    ranges: readonly ArchivedRange[],
  ): void {
    const read = new Set(ranges.map((range) => nameOf(day, range, 'log')))
    for (const file of files) {
      const name = nameOf(day, file, 'log')
      if (read.has(name)) continue
      this.#log?.warn({ day, file: name }, 'passed over a file: other files hold its examples')
    }
  }
}

function originOf(backfill: string | undefined): Origin {
  return backfill === undefined ? 'log' : 'backfill'
}

function bodyAt(reader: AvroReader): Buffer {
  const start = reader.offset
  passExample(reader)
  return reader.bytes.subarray(start, reader.offset)
}

function naming<T>(name: string, read: (bytes: Buffer) => T): (bytes: Buffer) => T {
  return (bytes) => {
    try {
      return read(bytes)
    } catch (cause) {
      throw new FreshetError('FILE_INVALID', `${name}: ${messageOf(cause)}`, { cause })
    }
  }
}
