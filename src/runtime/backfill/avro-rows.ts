import fs from 'node:fs/promises'
import { FreshetError } from '../../errors.ts'
import { compileRowDecoder } from '../../records/avro-general.ts'
import { AvroReader } from '../../records/avro-io.ts'
import type { Unchecked } from '../../records/json.ts'
import { expandedBytesMax, readContainerHeader } from '../../records/object-container.ts'
import type { AvroSchema } from '../../records/schema-parts.ts'
import { codecsReady } from '../kafka/codecs.ts'
import { blockCodecs } from './block-codecs.ts'
import { damaged, unreadable, type Rows } from './rows.ts'

const headerBytesMax = 16 * 2 ** 20
const blockBytesMax = 256 * 2 ** 20
/** Count and size of a block are at most so long. */
const numbersBytesMax = 20

/**
 * Blocks of an Avro object container file, one in memory at a time. Maps are Maps, what the schema calls timestamps are Dates, integers
 * are numbers within 2^53 and bigints beyond.
 * @throws FreshetError FILE_MISSING, FILE_INVALID naming file and block
 */
export async function* avroRows(path: string): AsyncGenerator<Rows> {
  await codecsReady()
  const file = await fs.open(path, 'r').catch((cause: unknown) => {
    throw unreadable(path, cause)
  })
  try {
    const { size } = await file.stat()
    const { decode, expand, marker, end } = await readHeader(file, path, size)
    let first = 0
    let at = end
    for (let number = 0; at < size; number++) {
      try {
        const { count, content, blockEnd } = await readBlock(file, at, size, marker)
        const expanded = expand(content, expandedBytesMax(content.length))
        yield { first, rows: recordsOf(expanded, count, decode) }
        first += count
        at = blockEnd
      } catch (cause) {
        throw damaged(`${path}: block ${number}, at byte ${at}, cannot be read`, cause)
      }
    }
  } finally {
    await file.close()
  }
}

/** The header says nowhere how long it is: more is read until it is whole. */
async function readHeader(file: fs.FileHandle, path: string, size: number) {
  for (let room = 64 * 1024; ; room *= 4) {
    const length = Math.min(room, size)
    try {
      const reader = new AvroReader(await readAt(file, 0, length))
      const { metadata, marker } = readContainerHeader(reader)
      const decode = compileRowDecoder(JSON.parse(metadata.get('avro.schema') ?? '') as AvroSchema)
      const { expand } = codecNamed(metadata.get('avro.codec') ?? 'null')
      return { decode, expand, marker, end: reader.offset }
    } catch (cause) {
      const isCut = cause instanceof FreshetError && cause.code === 'RECORD_UNDECODABLE'
      if (isCut && length < size && room < headerBytesMax) continue
      throw damaged(`${path} is no Avro object container file that can be read`, cause)
    }
  }
}

function codecNamed(name: string) {
  const found = blockCodecs.find((one) => one.name === name)
  if (found !== undefined) return found
  const known = blockCodecs.map((one) => one.name).join(', ')
  throw new FreshetError('FILE_INVALID', `its codec ${name} is not one of ${known}`)
}

async function readBlock(file: fs.FileHandle, at: number, size: number, marker: Buffer) {
  const numbers = new AvroReader(await readAt(file, at, Math.min(numbersBytesMax, size - at)))
  const count = numbers.long('the block count')
  const bytes = numbers.long('the block size')
  const start = at + numbers.offset
  if (count < 0 || bytes < 0 || bytes > blockBytesMax || start + bytes + marker.length > size) {
    numbers.fail('a block', `${count} records in ${bytes} bytes, ${size - start} are left`)
  }
  const block = await readAt(file, start, bytes + marker.length)
  if (!block.subarray(bytes).equals(marker)) {
    numbers.fail('the sync marker', 'it differs from the one in the header')
  }
  return { count, content: block.subarray(0, bytes), blockEnd: start + block.length }
}

function recordsOf(
  block: Buffer,
  count: number,
  decode: ReturnType<typeof compileRowDecoder>,
): Unchecked[] {
  const rows: Unchecked[] = []
  let at = 0
  while (at < block.length && rows.length < count) {
    const { value, end } = decode(block, at)
    rows.push(value as Unchecked)
    at = end
  }
  if (rows.length === count && at === block.length) return rows
  const message = `${rows.length} of ${count} records end at byte ${at} of ${block.length}`
  throw new FreshetError('FILE_INVALID', message)
}

async function readAt(file: fs.FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length)
  const { bytesRead } = await file.read(bytes, 0, length, position)
  if (bytesRead === length) return bytes
  throw new FreshetError('FILE_INVALID', `${bytesRead} of ${length} bytes at ${position}`)
}
