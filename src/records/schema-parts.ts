/** Just enough of Avro's schema language, as JSON values, to write schemas and walk them. */
export type AvroSchema = string | RecordSchema | OtherSchema | readonly AvroSchema[]

export interface RecordSchema {
  readonly type: 'record'
  readonly name: string
  readonly namespace?: string
  readonly fields: readonly FieldSchema[]
}

export interface FieldSchema {
  readonly name: string
  readonly type: AvroSchema
  readonly default?: unknown
}

/** Arrays, maps, enums, fixed, and primitives with attributes. `type` itself may be a schema. */
export interface OtherSchema {
  readonly type: AvroSchema
  readonly name?: string
  readonly namespace?: string
  readonly items?: AvroSchema
  readonly values?: AvroSchema
  readonly symbols?: readonly string[]
  readonly size?: number
  readonly logicalType?: string
}

export const timestamp: OtherSchema = { type: 'long', logicalType: 'timestamp-millis' }

export function record(name: string, fields: readonly FieldSchema[]): RecordSchema {
  return { type: 'record', name, namespace: 'freshet', fields }
}

export function array(items: AvroSchema): OtherSchema {
  return { type: 'array', items }
}

export function map(values: AvroSchema): OtherSchema {
  return { type: 'map', values }
}
