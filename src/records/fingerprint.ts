import type { AvroSchema, OtherSchema, RecordSchema } from './schema-parts.ts'

/**
 * Fingerprints and the single-object header of the Avro 1.11 specification: "Parsing Canonical Form for Schemas",
 * "Schema Fingerprints" (CRC-64-AVRO, a Rabin fingerprint), "Single-object encoding".
 */

const empty = 0xc15d213aa4d7a795n
const table = Array.from({ length: 256 }, (_, byte) => {
  let fingerprint = BigInt(byte)
  for (let bit = 0; bit < 8; bit++) {
    fingerprint = (fingerprint >> 1n) ^ (empty & -(fingerprint & 1n) & 0xffffffffffffffffn)
  }
  return fingerprint
})

export const headerBytes = 10

/** C3 01 and the fingerprint of the schema's canonical form, little-endian. */
export function singleObjectHeader(schema: AvroSchema): Buffer {
  const header = Buffer.alloc(headerBytes)
  header.writeUInt16BE(0xc301, 0)
  header.writeBigUInt64LE(crc64Avro(canonicalForm(schema)), 2)
  return header
}

/** The fingerprint as 16 hex digits. */
export function fingerprintOf(schema: AvroSchema): string {
  return crc64Avro(canonicalForm(schema)).toString(16).padStart(16, '0')
}

/** CRC-64-AVRO of the UTF-8 bytes of a text. */
export function crc64Avro(text: string): bigint {
  let fingerprint = empty
  for (const byte of Buffer.from(text)) {
    fingerprint = (fingerprint >> 8n) ^ table[Number((fingerprint ^ BigInt(byte)) & 0xffn)]!
  }
  return fingerprint
}

/** Names in full, no attributes that do not change the bytes, keys in a fixed order, no white space. */
export function canonicalForm(schema: AvroSchema): string {
  return canonical(schema, '')
}

function canonical(schema: AvroSchema, namespace: string): string {
  if (typeof schema === 'string') return JSON.stringify(fullName(schema, namespace))
  if (isUnion(schema)) return `[${schema.map((branch) => canonical(branch, namespace)).join(',')}]`
  switch (schema.type) {
    case 'record':
    case 'error':
      return canonicalRecord(schema as RecordSchema, namespace)
    case 'enum':
      return `{"name":${name(schema, namespace)},"type":"enum","symbols":${JSON.stringify(schema.symbols)}}`
    case 'fixed':
      return `{"name":${name(schema, namespace)},"type":"fixed","size":${schema.size}}`
    case 'array':
      return `{"type":"array","items":${canonical(schema.items!, namespace)}}`
    case 'map':
      return `{"type":"map","values":${canonical(schema.values!, namespace)}}`
    default:
      return canonical(schema.type, namespace)
  }
}

function canonicalRecord(schema: RecordSchema, namespace: string): string {
  const inner = namespaceOf(schema, namespace)
  const fields = schema.fields.map(
    (f) => `{"name":${JSON.stringify(f.name)},"type":${canonical(f.type, inner)}}`,
  )
  return `{"name":${name(schema, namespace)},"type":"record","fields":[${fields.join(',')}]}`
}

/** The namespace that names inside a named schema are relative to. */
export function namespaceOf(schema: RecordSchema | OtherSchema, enclosing: string): string {
  const dot = schema.name!.lastIndexOf('.')
  return dot >= 0 ? schema.name!.slice(0, dot) : (schema.namespace ?? enclosing)
}

const primitives = new Set('null boolean int long float double bytes string'.split(' '))

export function fullName(name: string, namespace: string): string {
  if (primitives.has(name) || name.includes('.') || namespace === '') return name
  return `${namespace}.${name}`
}

export function isUnion(schema: AvroSchema): schema is readonly AvroSchema[] {
  return Array.isArray(schema)
}

function name(schema: RecordSchema | OtherSchema, namespace: string): string {
  return JSON.stringify(fullName(schema.name!, namespaceOf(schema, namespace)))
}
