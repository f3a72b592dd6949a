import { invariant } from '../errors.ts'
import { AvroReader } from './avro-io.ts'
import { fullName, isUnion, namespaceOf } from './fingerprint.ts'
import type { AvroSchema, OtherSchema, RecordSchema } from './schema-parts.ts'

/**
 * Walks the bytes of a record by its schema without building anything, so that avsc only ever decodes bytes that are
 * whole: avsc itself loops and allocates by whatever count the bytes claim.
 * @returns the offset after the record
 */
export type AvroGuard = (bytes: Buffer, offset: number) => number

const depthMax = 64

interface Walk {
  readonly reader: AvroReader
  depth: number
  /** Items of arrays and maps so far: even items that take no bytes (null) are limited by the bytes there are. */
  items: number
}

type Step = (walk: Walk) => void

export function compileGuard(schema: AvroSchema, areLongsRounded = false): AvroGuard {
  const step = compile(schema, { names: new Map(), namespace: '', path: '', areLongsRounded })
  return (bytes, offset) => {
    const reader = new AvroReader(bytes, offset)
    step({ reader, depth: 0, items: 0 })
    return reader.offset
  }
}

interface Scope {
  readonly names: Map<string, Step>
  readonly namespace: string
  readonly path: string
  /** Integers beyond 2^53 pass. */
  readonly areLongsRounded: boolean
}

function compile(schema: AvroSchema, scope: Scope): Step {
  if (typeof schema === 'string') return primitive(schema, scope) ?? reference(schema, scope)
  if (isUnion(schema)) return union(schema, scope)
  switch (schema.type) {
    case 'record':
    case 'error':
      return record(schema as RecordSchema, scope)
    case 'enum':
      return named(
        schema,
        scope,
        ({ reader }) => void reader.choice(scope.path, schema.symbols!.length),
      )
    case 'fixed':
      return named(schema, scope, ({ reader }) => reader.pass(scope.path, schema.size!))
    case 'array':
      return blocks(compile(schema.items!, { ...scope, path: `${scope.path}[]` }), scope.path)
    case 'map': {
      const value = compile(schema.values!, { ...scope, path: `${scope.path}{}` })
      return blocks((walk) => {
        walk.reader.skip(scope.path)
        value(walk)
      }, scope.path)
    }
    default:
      return compile(schema.type, scope)
  }
}

function primitive(type: string, { path, areLongsRounded }: Scope): Step | undefined {
  switch (type) {
    case 'null':
      return () => {}
    case 'boolean':
      return ({ reader }) => reader.pass(path, 1)
    case 'long':
      if (areLongsRounded) return ({ reader }) => reader.passLong(path)
      return ({ reader }) => void reader.long(path)
    case 'int':
      return ({ reader }) => void reader.long(path)
    case 'float':
      return ({ reader }) => reader.pass(path, 4)
    case 'double':
      return ({ reader }) => reader.pass(path, 8)
    case 'string':
    case 'bytes':
      return ({ reader }) => void reader.skip(path)
    default:
      return undefined
  }
}

/** A named type that was defined before, or encloses this place. */
function reference(name: string, scope: Scope): Step {
  const key = fullName(name, scope.namespace)
  return (walk) => {
    const step = scope.names.get(key)
    invariant(step !== undefined, `the Avro type ${key} has not been defined`)
    step(walk)
  }
}

function record(schema: RecordSchema, scope: Scope): Step {
  const namespace = namespaceOf(schema, scope.namespace)
  const fields: Step[] = []
  const step = named(schema, scope, (walk) => {
    if (walk.depth >= depthMax) walk.reader.fail(scope.path, `nested deeper than ${depthMax}`)
    walk.depth++
    for (const field of fields) field(walk)
    walk.depth--
  })
  for (const field of schema.fields) {
    const path = scope.path === '' ? field.name : `${scope.path}.${field.name}`
    fields.push(compile(field.type, { ...scope, namespace, path }))
  }
  return step
}

function named(schema: RecordSchema | OtherSchema, scope: Scope, step: Step): Step {
  scope.names.set(fullName(schema.name!, namespaceOf(schema, scope.namespace)), step)
  return step
}

function union(branches: readonly AvroSchema[], scope: Scope): Step {
  const steps = branches.map((branch) => compile(branch, scope))
  return (walk) => steps[walk.reader.choice(scope.path, steps.length)]!(walk)
}

function blocks(item: Step, path: string): Step {
  return (walk) => {
    const { reader } = walk
    for (let count = reader.blockCount(path, 0); count > 0; count = reader.blockCount(path, 0)) {
      walk.items += count
      if (walk.items > reader.bytes.length) reader.fail(path, `a block of ${count} is too long`)
      for (let i = 0; i < count; i++) item(walk)
    }
  }
}
