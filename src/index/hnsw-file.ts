import { FreshetError } from '../errors.ts'

/**
 * The file of hnswlib 0.8 (`saveIndex` in hnswalg.h), little-endian with 64-bit sizes: a header of 96 bytes; per element its links on
 * level 0 (count, then ids), the vector and the label; then per element the links of its upper levels. The file knows neither
 * dimension nor space, and the reader of hnswlib believes every number in it: a wrong one makes it write beyond its memory
 * (nmslib/hnswlib #673). So everything is checked here first.
 */
export interface HnswShape {
  readonly dim: number
  readonly count: number
}

const headerBytes = 96
/** A count, then the ids of the neighbours. */
const linkBytes = 4
const labelBytes = 8
const levelMax = 64
/** Some milliseconds of work. */
const sliceElements = 4_096

/**
 * Checks a file and reads its vectors back, those of label i at i x dim. Yields between slices.
 * @returns [count x dim]
 * @throws FreshetError FILE_INVALID saying what is wrong
 */
export function* readHnswVectors(
  bytes: Uint8Array,
  shape: HnswShape,
): Generator<void, Float32Array> {
  const { dim, count } = shape
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const header = readHeader(view, shape)
  const vectors = new Float32Array(count * dim)
  const isSeen = new Uint8Array(count)
  for (let element = 0; element < count; element++) {
    const at = headerBytes + element * header.elementBytes
    checkLinks(view, at, header.linksMax0, count, element)
    const label = sizeAt(view, at + header.labelOffset)
    if (!(label < count) || isSeen[label] === 1) throw invalid(`label ${label} of ${count}`)
    isSeen[label] = 1
    for (let i = 0; i < dim; i++) {
      vectors[label * dim + i] = view.getFloat32(at + header.dataOffset + i * 4, true)
    }
    if (element % sliceElements === sliceElements - 1) yield
  }
  yield* checkUpperLevels(view, header, count)
  return vectors
}

interface Header {
  readonly elementBytes: number
  readonly dataOffset: number
  readonly labelOffset: number
  readonly linksMax0: number
  readonly linksMax: number
  readonly levels: number
}

function readHeader(view: DataView, { dim, count }: HnswShape): Header {
  if (view.byteLength < headerBytes) throw invalid(`${view.byteLength} bytes hold no header`)
  const size = (at: number): number => sizeAt(view, at)
  const linksMax = size(56)
  const linksMax0 = size(64)
  if (size(72) !== linksMax || linksMax < 2 || linksMax > 10_000 || linksMax0 !== 2 * linksMax) {
    throw invalid(`${size(72)} links a node, ${linksMax} above level 0 and ${linksMax0} on it`)
  }
  const dataOffset = linkBytes + linksMax0 * 4
  const labelOffset = dataOffset + dim * 4
  const elementBytes = labelOffset + labelBytes
  expect('elements', size(16), count)
  expect('bytes before level 0', size(0), 0)
  expect('bytes an element', size(24), elementBytes)
  expect('bytes before a label', size(32), labelOffset)
  expect('bytes before a vector', size(40), dataOffset)
  // Memory is taken for as many.
  expect('elements at most', size(8), count)
  const levels = view.getInt32(48, true)
  const entry = view.getUint32(52, true)
  if (count === 0 || entry >= count || levels < 0 || levels > levelMax) {
    throw invalid(`entry ${entry} of ${count} elements on level ${levels}`)
  }
  const factor = view.getFloat64(80, true)
  if (!(factor > 0 && factor < 10)) throw invalid(`a level factor of ${factor}`)
  if (headerBytes + count * (elementBytes + linkBytes) > view.byteLength) {
    throw invalid(`${view.byteLength} bytes for ${count} elements`)
  }
  return { elementBytes, dataOffset, labelOffset, linksMax0, linksMax, levels }
}

function* checkUpperLevels(
  view: DataView,
  { elementBytes, linksMax, levels }: Header,
  count: number,
): Generator<void> {
  const levelBytes = linkBytes + linksMax * 4
  const entry = view.getUint32(52, true)
  let at = headerBytes + count * elementBytes
  for (let element = 0; element < count; element++) {
    if (at + 4 > view.byteLength) throw invalid(`it ends at element ${element} of ${count}`)
    const bytes = view.getUint32(at, true)
    at += 4
    if (bytes % levelBytes !== 0 || bytes > levels * levelBytes || at + bytes > view.byteLength) {
      throw invalid(`${bytes} bytes of upper links at element ${element}`)
    }
    if (element === entry) expect('bytes of the entry', bytes, levels * levelBytes)
    for (const end = at + bytes; at < end; at += levelBytes) {
      checkLinks(view, at, linksMax, count, element)
    }
    if (element % sliceElements === sliceElements - 1) yield
  }
  expect('bytes', view.byteLength, at)
}

function checkLinks(
  view: DataView,
  at: number,
  linksMax: number,
  count: number,
  element: number,
): void {
  // The upper half of the word holds the mark of a deleted element: there are none.
  const links = view.getUint32(at, true)
  if (links > linksMax) throw invalid(`${links} links at element ${element}`)
  for (let i = 0; i < links; i++) {
    const neighbour = view.getUint32(at + linkBytes + i * 4, true)
    if (neighbour >= count) throw invalid(`a link to ${neighbour} at element ${element}`)
  }
}

/** NaN for what no double can hold, which then equals nothing. */
function sizeAt(view: DataView, at: number): number {
  const size = view.getBigUint64(at, true)
  return size <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(size) : NaN
}

function expect(what: string, is: number, must: number): void {
  if (is !== must) throw invalid(`${what}: ${is}, not ${must}`)
}

function invalid(why: string): FreshetError {
  return new FreshetError('FILE_INVALID', `HNSW file: ${why}`)
}
