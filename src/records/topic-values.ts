import { compileEncoder } from './avro-general.ts'
import { knownSchemas } from './known-schemas.ts'
import type { AvroSchema } from './schema-parts.ts'

/** Values of a topic that is not hot, through avsc. `T` is the record as avsc sees it, in the schema's field names. */
export interface TopicValues<T> {
  /** @throws FreshetError RECORD_INVALID where the value does not fit the schema */
  encode(value: unknown): Buffer
  /** @throws FreshetError RECORD_UNDECODABLE, SCHEMA_UNKNOWN */
  decode(value: Buffer): T
}

/** @param older versions that may still be in a log */
export function topicValues<T>(
  name: string,
  schema: AvroSchema,
  older: readonly AvroSchema[] = [],
): TopicValues<T> {
  const known = knownSchemas(name, schema, older)
  const encode = compileEncoder(schema)
  return {
    encode: (value) => Buffer.concat([known.header, encode(value)]),
    decode: (value) => known.decode(value) as T,
  }
}
