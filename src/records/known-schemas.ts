import { FreshetError } from '../errors.ts'
import { compileDecoder, type AvroDecoder } from './avro-general.ts'
import { fingerprintOf, headerBytes, singleObjectHeader } from './fingerprint.ts'
import type { AvroSchema } from './schema-parts.ts'

/** The versions of one topic's schema that are known: the current one, and older ones that are read as the current one. */
export interface KnownSchemas {
  /** For messages, e.g. `event`. */
  readonly name: string
  readonly header: Buffer
  /** Whether the value was written with the current schema; its body starts after the header then. */
  isCurrent(value: Buffer): boolean
  /**
   * Decodes the body by whichever known schema it was written with, in the form that avsc gives the current schema.
   * @throws FreshetError RECORD_UNDECODABLE, SCHEMA_UNKNOWN
   */
  decode(value: Buffer): unknown
}

export function knownSchemas(
  name: string,
  current: AvroSchema,
  older: readonly AvroSchema[] = [],
): KnownSchemas {
  const header = singleObjectHeader(current)
  const low = header.readInt32LE(2)
  const high = header.readInt32LE(6)
  const decoders = new Map<string, AvroDecoder>([
    [fingerprintOf(current), compileDecoder(current)],
    ...older.map((schema): [string, AvroDecoder] => [
      fingerprintOf(schema),
      compileDecoder(schema, { reader: current }),
    ]),
  ])
  return {
    name,
    header,
    isCurrent: (value) =>
      hasHeader(value) && value.readInt32LE(2) === low && value.readInt32LE(6) === high,
    decode(value) {
      if (!hasHeader(value)) throw withoutHeader(name, value)
      const fingerprint = fingerprintIn(value)
      const decoder = decoders.get(fingerprint)
      if (decoder !== undefined) return decoder(value, headerBytes)
      const message = `Avro schema fingerprint ${fingerprint} is not a known version of ${name}`
      throw new FreshetError('SCHEMA_UNKNOWN', message)
    },
  }
}

/** Whether the value starts as Avro's single-object encoding does. */
export function hasHeader(value: Buffer): boolean {
  return value.length >= headerBytes && value[0] === 0xc3 && value[1] === 0x01
}

/** The fingerprint of a value that has a header, as 16 hex digits. */
export function fingerprintIn(value: Buffer): string {
  return value.readBigUInt64LE(2).toString(16).padStart(16, '0')
}

function withoutHeader(name: string, value: Buffer): FreshetError {
  const found = value.toString('hex', 0, Math.min(value.length, headerBytes))
  const message = `${name}: Avro single-object header (c3 01 + fingerprint) expected at byte 0, found ${found || 'no bytes'}`
  return new FreshetError('RECORD_UNDECODABLE', message)
}
