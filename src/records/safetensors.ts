import { FreshetError } from '../errors.ts'

/**
 * The safetensors format (github.com/huggingface/safetensors): u64 length of the header, a JSON header
 * {name: {dtype, shape, data_offsets: [from, to)}}, then the tensors, little-endian, without gaps. Readable by every
 * framework and by a memory map; unlike pickles it cannot carry code.
 */
const dtypes = {
  F64: Float64Array,
  F32: Float32Array,
  I32: Int32Array,
  U32: Uint32Array,
  U8: Uint8Array,
} as const

export type TensorData = Float64Array | Float32Array | Int32Array | Uint32Array | Uint8Array
type Dtype = keyof typeof dtypes

export interface Tensor {
  readonly shape: readonly number[]
  /** Row-major; as many elements as the shape says. */
  readonly data: TensorData
}

export interface Safetensors {
  readonly tensors: ReadonlyMap<string, Tensor>
  readonly metadata: Readonly<Record<string, string>>
}

const lengthBytes = 8
const alignment = 8
const headerBytesMax = 100_000_000

/**
 * The file as parts to be written one after the other: the tensors themselves, not copies. The same tensors give the same bytes.
 * @throws FreshetError FILE_INVALID when a shape does not fit its data
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  // Widest elements first, as the reference does it: then every tensor is aligned to its own element size.
  const sorted = [...tensors].sort(
    ([nameA, a], [nameB, b]) =>
      b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT || compare(nameA, nameB),
  )
  const hasMetadata = Object.keys(metadata).length > 0
  const entries: [string, unknown][] = hasMetadata ? [['__metadata__', metadata]] : []
  let at = 0
  for (const [name, { shape, data }] of sorted) {
    if (elementsOf(shape) !== data.length) {
      throw invalid(`tensor ${name} has ${data.length} elements, but shape [${shape.join(', ')}]`)
    }
    entries.push([name, { dtype: dtypeOf(data), shape, data_offsets: [at, at + data.byteLength] }])
    at += data.byteLength
  }
  return [encodeHeader(entries), ...sorted.map(([, { data }]) => bytesOf(data))]
}

function encodeHeader(entries: readonly (readonly [string, unknown])[]): Uint8Array {
  // Object.fromEntries defines properties, so that a tensor named __proto__ stays one.
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)))
  const padded = Math.ceil(json.length / alignment) * alignment
  const header = Buffer.alloc(lengthBytes + padded, ' ')
  header.writeBigUInt64LE(BigInt(padded))
  json.copy(header, lengthBytes)
  return header
}

/**
 * Tensors are views of `bytes` where alignment allows it.
 * @throws FreshetError FILE_INVALID saying what is wrong
 */
export function parseSafetensors(bytes: Uint8Array): Safetensors {
  const { header, dataStart } = parseHeader(bytes)
  const tensors = new Map<string, Tensor>()
  let metadata: Readonly<Record<string, string>> = {}
  const ranges: { name: string; from: number; to: number }[] = []
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') {
      metadata = parseMetadata(value)
      continue
    }
    const { dtype, shape, from, to } = parseEntry(name, value)
    ranges.push({ name, from, to })
    if (dataStart + to > bytes.length) {
      throw invalid(`tensor ${name} ends at byte ${dataStart + to} of ${bytes.length}`)
    }
    tensors.set(name, { shape, data: viewOf(bytes, dtype, dataStart + from, to - from) })
  }
  checkCoverage(ranges, bytes.length - dataStart)
  return { tensors, metadata }
}

function parseHeader(bytes: Uint8Array): { header: object; dataStart: number } {
  if (bytes.length < lengthBytes)
    throw invalid(`${bytes.length} bytes cannot be a safetensors file`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = view.getBigUint64(0, true)
  if (length > BigInt(Math.min(headerBytesMax, bytes.length - lengthBytes))) {
    throw invalid(`the header claims ${length} bytes of ${bytes.length}`)
  }
  const dataStart = lengthBytes + Number(length)
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(
      bytes.subarray(lengthBytes, dataStart),
    )
    const header: unknown = JSON.parse(text)
    if (isObject(header)) return { header, dataStart }
  } catch (cause) {
    throw invalid('the header is not JSON', cause)
  }
  throw invalid('the header is not a JSON object')
}

function parseEntry(name: string, value: unknown) {
  if (!isObject(value)) throw invalid(`tensor ${name}: its entry is not an object`)
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>
  if (typeof dtype !== 'string' || !Object.hasOwn(dtypes, dtype)) {
    const known = Object.keys(dtypes).join(', ')
    throw invalid(`tensor ${name}: dtype ${String(dtype)} is none of ${known}`)
  }
  if (!isCounts(shape)) throw invalid(`tensor ${name}: its shape is not a list of sizes`)
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw invalid(`tensor ${name}: its data_offsets are not two positions`)
  }
  const [from, to] = offsets as [number, number]
  const bytes = elementsOf(shape) * dtypes[dtype as Dtype].BYTES_PER_ELEMENT
  if (to - from !== bytes) {
    throw invalid(
      `tensor ${name}: ${dtype} [${shape.join(', ')}] takes ${bytes} bytes, its data ${to - from}`,
    )
  }
  return { dtype: dtype as Dtype, shape, from, to }
}

function parseMetadata(value: unknown): Readonly<Record<string, string>> {
  if (!isObject(value) || Object.values(value).some((text) => typeof text !== 'string')) {
    throw invalid('__metadata__ is not a map of strings')
  }
  return value as Record<string, string>
}

/** Every byte belongs to exactly one tensor: what the format demands, and no place to hide anything. */
function checkCoverage(ranges: { name: string; from: number; to: number }[], size: number): void {
  let at = 0
  for (const { name, from, to } of ranges.sort((a, b) => a.from - b.from || a.to - b.to)) {
    if (from !== at) throw invalid(`tensor ${name} begins at ${from}, the one before ends at ${at}`)
    at = to
  }
  if (at !== size) throw invalid(`the tensors end at ${at}, the file has ${size} bytes of data`)
}

function viewOf(bytes: Uint8Array, dtype: Dtype, from: number, length: number): TensorData {
  const array = dtypes[dtype]
  const start = bytes.byteOffset + from
  if (start % array.BYTES_PER_ELEMENT === 0) {
    return new array(bytes.buffer as ArrayBuffer, start, length / array.BYTES_PER_ELEMENT)
  }
  return new array(Uint8Array.from(bytes.subarray(from, from + length)).buffer)
}

function dtypeOf(data: TensorData): Dtype {
  for (const [dtype, array] of Object.entries(dtypes)) {
    if (data instanceof array) return dtype as Dtype
  }
  throw invalid('only arrays of 64 or 32 bit floats, 32 bit integers and bytes can be written')
}

function bytesOf(data: TensorData): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0)
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function invalid(message: string, cause?: unknown): FreshetError {
  return new FreshetError('FILE_INVALID', `safetensors: ${message}`, { cause })
}
