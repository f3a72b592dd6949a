import avsc from 'avsc'
import type { Type } from 'avsc'
import { FreshetError } from '../errors.ts'
import { compileGuard } from './avro-guard.ts'
import { isUnion } from './fingerprint.ts'
import type { AvroSchema, FieldSchema } from './schema-parts.ts'

/**
 * The general path through avsc: any schema, and reading with a newer schema than the one written with. Maps are JS Maps on
 * both sides. avsc would decode one into an object and lose the key `__proto__`; so it is shown the array of key-value
 * records that has the same bytes.
 */
export type AvroDecoder = (bytes: Buffer, offset: number) => unknown

/**
 * Decodes one record that fills `bytes` from `offset` to the end.
 * @throws FreshetError RECORD_UNDECODABLE; CONFIG_INVALID at once for schemas that are invalid or cannot be resolved
 */
export function compileDecoder(writer: AvroSchema, reader?: AvroSchema): AvroDecoder {
  const type = avroType(writer)
  const guard = compileGuard(writer)
  const target = reader === undefined ? type : avroType(reader)
  const resolver = reader === undefined ? undefined : resolverOf(target, type)
  return (bytes, offset) => {
    const end = guard(bytes, offset)
    if (end < bytes.length) {
      const left = bytes.length - end
      throw new FreshetError('RECORD_UNDECODABLE', `Avro: ${left} bytes follow the record's end`)
    }
    return target.decode(bytes, offset, resolver).value
  }
}

/** @throws FreshetError RECORD_INVALID when the value does not fit the schema, naming the field */
export function compileEncoder(schema: AvroSchema): (value: unknown) => Buffer {
  const type = avroType(schema)
  return (value) => {
    try {
      return type.toBuffer(value)
    } catch (cause) {
      throw new FreshetError('RECORD_INVALID', `Avro: ${(cause as Error).message}`, { cause })
    }
  }
}

/** @throws FreshetError CONFIG_INVALID */
function avroType(schema: AvroSchema): Type {
  try {
    return avsc.Type.forSchema(withoutMaps(schema) as avsc.schema.AvroSchema, {
      logicalTypes: { [mapLogicalType]: MapType },
      assertLogicalTypes: true,
    })
  } catch (cause) {
    const message = `invalid Avro schema: ${(cause as Error).message}`
    throw new FreshetError('CONFIG_INVALID', message, { cause })
  }
}

function resolverOf(reader: Type, writer: Type): ReturnType<Type['createResolver']> {
  try {
    return reader.createResolver(writer)
  } catch (cause) {
    const message = `the Avro schemas cannot be resolved: ${(cause as Error).message}`
    throw new FreshetError('CONFIG_INVALID', message, { cause })
  }
}

const mapLogicalType = 'freshet-map'

class MapType extends avsc.types.LogicalType {
  protected override _fromValue(entries: unknown): ReadonlyMap<string, unknown> {
    return new Map((entries as { key: string; value: unknown }[]).map((e) => [e.key, e.value]))
  }

  protected override _toValue(value: unknown): unknown {
    return value instanceof Map
      ? Array.from(value as Map<string, unknown>, ([key, value]) => ({ key, value }))
      : undefined
  }

  /** A map is only ever read as a map with the same values. */
  protected override _resolve(writer: Type): unknown {
    return writer.equals(this) ? (value: unknown) => value : undefined
  }
}

function withoutMaps(schema: AvroSchema): AvroSchema | object {
  if (typeof schema === 'string') return schema
  if (isUnion(schema)) return schema.map(withoutMaps)
  if ('fields' in schema) return { ...schema, fields: schema.fields.map(fieldWithoutMaps) }
  switch (schema.type) {
    case 'map': {
      const fields = [
        { name: 'key', type: 'string' },
        { name: 'value', type: withoutMaps(schema.values!) },
      ]
      return { type: 'array', logicalType: mapLogicalType, items: { type: 'record', fields } }
    }
    case 'array':
      return { ...schema, items: withoutMaps(schema.items!) }
    default:
      return typeof schema.type === 'string'
        ? schema
        : { ...schema, type: withoutMaps(schema.type) }
  }
}

/** The default of a map is an empty array; other defaults that are objects are not used here, they are left out. */
function fieldWithoutMaps(field: FieldSchema): object {
  const type = withoutMaps(field.type)
  if (typeof field.default !== 'object' || field.default === null || Array.isArray(field.default)) {
    return { ...field, type }
  }
  const isMap = typeof field.type === 'object' && 'type' in field.type && field.type.type === 'map'
  return { name: field.name, type, ...(isMap ? { default: [] } : {}) }
}
