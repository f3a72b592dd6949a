import { FreshetError } from '../errors.ts'
import type { Tensor, TensorData } from '../records/safetensors.ts'

/** A state as JSON for its small values, and tensors for typed arrays and lists of strings, which may be large. */
export interface PackedState {
  readonly json: string
  readonly tensors: ReadonlyMap<string, Tensor>
}

type Reference =
  { readonly $tensor: string } | { readonly $strings: string } | { readonly $lists: string }

/** @param state plain objects, arrays, numbers, strings, booleans, null and typed arrays */
export function packState(state: unknown): PackedState {
  const tensors = new Map<string, Tensor>()
  const put = (name: string, data: TensorData): void =>
    void tensors.set(name, { shape: [data.length], data })
  const pack = (value: unknown, place: string): unknown => {
    if (ArrayBuffer.isView(value)) {
      put(place, value as TensorData)
      return { $tensor: place } satisfies Reference
    }
    if (Array.isArray(value)) {
      if (isStrings(value)) {
        putStrings(put, place, value)
        return { $strings: place } satisfies Reference
      }
      if (
        value.length > 0 &&
        value.every((each) => Array.isArray(each) && isStringsOrEmpty(each))
      ) {
        putLists(put, place, value)
        return { $lists: place } satisfies Reference
      }
      return value.map((each, i) => pack(each, `${place}.${i}`))
    }
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(
        Object.entries(value).map(([key, each]) => [key, pack(each, `${place}.${key}`)]),
      )
    }
    return value
  }
  return { json: JSON.stringify(pack(state, 'state')), tensors }
}

/** @throws FreshetError FILE_INVALID when the tensors are not those of the JSON */
export function unpackState({ json, tensors }: PackedState): unknown {
  const take = (name: string): TensorData => {
    const tensor = tensors.get(name)
    if (tensor === undefined) throw new FreshetError('FILE_INVALID', `tensor ${name} is missing`)
    return tensor.data
  }
  return JSON.parse(json, (_, value: unknown) => {
    if (typeof value !== 'object' || value === null) return value
    if ('$tensor' in value) return take(value.$tensor as string)
    if ('$strings' in value) return takeStrings(take, value.$strings as string)
    if ('$lists' in value) return takeLists(take, value.$lists as string)
    return value
  })
}

type Put = (name: string, data: TensorData) => void
type Take = (name: string) => TensorData

/** One JSON text of millions of ids would be longer than a string may be. */
function putStrings(put: Put, place: string, strings: readonly string[]): void {
  const lengths = Uint32Array.from(strings, (text) => Buffer.byteLength(text))
  const bytes = Buffer.allocUnsafe(lengths.reduce((sum, length) => sum + length, 0))
  let at = 0
  for (const text of strings) at += bytes.write(text, at)
  put(`${place}.bytes`, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length))
  put(`${place}.lengths`, lengths)
}

function takeStrings(take: Take, place: string): string[] {
  const data = take(`${place}.bytes`)
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  let at = 0
  return Array.from(take(`${place}.lengths`), (length) =>
    bytes.toString('utf8', at, (at += length)),
  )
}

/** Lists of strings that repeat: each string once, and numbers. */
function putLists(put: Put, place: string, lists: readonly (readonly string[])[]): void {
  const numbers = new Map<string, number>()
  const elements = new Uint32Array(lists.reduce((sum, list) => sum + list.length, 0))
  let at = 0
  for (const list of lists) {
    for (const text of list) {
      let number = numbers.get(text)
      if (number === undefined) numbers.set(text, (number = numbers.size))
      elements[at++] = number
    }
  }
  putStrings(put, `${place}.names`, [...numbers.keys()])
  put(`${place}.elements`, elements)
  put(
    `${place}.counts`,
    Uint32Array.from(lists, (list) => list.length),
  )
}

function takeLists(take: Take, place: string): string[][] {
  const names = takeStrings(take, `${place}.names`)
  const elements = take(`${place}.elements`)
  let at = 0
  return Array.from(take(`${place}.counts`), (count) =>
    Array.from(elements.subarray(at, (at += count)), (number) => names[number]!),
  )
}

function isStrings(values: readonly unknown[]): values is string[] {
  return values.length > 0 && isStringsOrEmpty(values)
}

function isStringsOrEmpty(values: readonly unknown[]): values is string[] {
  return values.every((value) => typeof value === 'string')
}
