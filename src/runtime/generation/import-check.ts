import type { TensorModel } from '../../model/engine.ts'
import { Random } from '../../model/hash.ts'
import type { Side } from '../../model/spec.ts'
import { featureWidth } from '../../model/spec.ts'
import { openEngine } from '../engines/index.ts'
import { OnnxFile } from '../engines/onnx-session.ts'
import { files, gradientFiles, itemFeaturesFile, towerFiles } from './files.ts'
import { checkGradient, checkRepeatable } from './import-opaque.ts'
import type { TowerSample } from './import-opaque.ts'
import type { Parts } from './import.ts'
import { checkNormalised, inFile, invalid, placeIn, readTensors } from './verified.ts'

const cosineMin = 0.9999
const paritySample = 200
/** Each component of each row is moved up and down. */
const gradientSample = 20
const vectorsSample = 1_000
const atOnce = 4_096

/** Holds what is derived from the graphs of the towers against the graphs themselves, and these, where they stay, against what is expected of them. */
export class TowerCheck {
  readonly #parts: Parts
  readonly #engine: TensorModel

  static async open(parts: Parts): Promise<TowerCheck> {
    return new TowerCheck(parts, await openEngine('onnx').open(parts.model, parts.dense))
  }

  private constructor(parts: Parts, engine: TensorModel) {
    this.#parts = parts
    this.#engine = engine
  }

  close(): Promise<void> {
    return this.#engine.close()
  }

  /** For rows of its table and random features both give the same vectors, of length 1; an opaque tower is the file, and has a right gradient. */
  async tower(side: Side): Promise<void> {
    const { source, model, dense } = this.#parts
    const { id } = source.manifest
    const file = towerFiles[side]
    const forward = await inFile(id, file, () => OnnxFile.open(this.#parts.towers[side]))
    try {
      const sample = this.#sample(side, paritySample)
      const { rows, features, count } = sample
      const output = { name: 'vectors', width: model.outputDim }
      const theirs = await inFile(id, file, () => forward.run({ rows, features }, count, output))
      const remedy = ': divide it by its length, as torch.nn.functional.normalize does'
      checkNormalised(id, file, theirs, model.outputDim, remedy)
      const { graphs } = dense[side]
      if (graphs === undefined) return await this.#parity(side, sample, theirs)
      await inFile(id, file, () => checkRepeatable(forward, sample, theirs))
      if (graphs.gradient !== null) await this.#gradient(side, forward, graphs.gradient)
    } finally {
      await forward.close()
    }
  }

  async #parity(
    side: Side,
    { rows, features, count }: TowerSample,
    theirs: Float32Array,
  ): Promise<void> {
    const { source, model } = this.#parts
    const ours = await this.#engine.vectors(side, rows, features, count)
    const worst = worstCosine(ours, theirs, model.outputDim)
    if (worst.cosine >= cosineMin) return
    throw invalid(
      source.manifest.id,
      towerFiles[side],
      `the parameters derived from it give other vectors than it does itself, cosine ${worst.cosine.toFixed(6)}: please report it with this file`,
    )
  }

  #gradient(side: Side, forward: OnnxFile, bytes: Uint8Array): Promise<void> {
    return inFile(this.#parts.source.manifest.id, gradientFiles[side], async () => {
      const gradient = await OnnxFile.open(bytes)
      try {
        const sample = this.#sample(side, gradientSample)
        await checkGradient(gradient, forward, sample, new Random(0x677261, sample.count))
      } finally {
        await gradient.close()
      }
    })
  }

  /** The default row, and rows of the table, with random features. */
  #sample(side: Side, sizeMax: number): TowerSample {
    const { model, users, items } = this.#parts
    const { dim, outputDim } = model
    const { rows, defaultRow, ids } = side === 'user' ? users : items
    const sample = sampleOf(ids.length, sizeMax)
    const all = new Float32Array((sample.length + 1) * dim)
    all.set(defaultRow)
    sample.forEach((row, i) => all.set(rowOf(rows, row, dim), (i + 1) * dim))
    const count = sample.length + 1
    const random = new Random(0x696d70, sample.length)
    const length = count * featureWidth(model[side])
    const features = Float32Array.from({ length }, () => random.nextNormal())
    return { rows: all, features, count, dim, outputDim }
  }

  /** @param features [items x F] @returns [items x o] */
  async itemVectors(features: Float32Array): Promise<Float32Array> {
    const { model, items } = this.#parts
    const [count, width] = [items.ids.length, featureWidth(model.item)]
    const vectors = new Float32Array(count * model.outputDim)
    for (let from = 0; from < count; from += atOnce) {
      const to = Math.min(count, from + atOnce)
      const rows = items.rows.subarray(from * model.dim, to * model.dim)
      const encoded = features.subarray(from * width, to * width)
      const some = await this.#engine.vectors('item', rows, encoded, to - from)
      vectors.set(some, from * model.outputDim)
    }
    return vectors
  }
}

/**
 * What the tower makes of the items, or without their features what the exporter has made of them.
 * @param notes gets a line where nothing could be compared
 */
export async function itemVectorsOf(
  { source, model, items }: Parts,
  check: TowerCheck,
  notes: string[],
): Promise<Float32Array> {
  const { id } = source.manifest
  const count = items.ids.length
  const width = featureWidth(model.item)
  const own = await floatsIn(source, files.itemVectors, 'vectors', [count, model.outputDim])
  if (own !== null) checkNormalised(id, files.itemVectors, own, model.outputDim)
  const features =
    width === 0
      ? new Float32Array(0)
      : await floatsIn(source, itemFeaturesFile, 'features', [count, width])
  if (features === null) {
    if (own === null) {
      const why = `it is missing, and so is ${files.itemVectors}: one of them is needed, as the item tower takes features`
      throw invalid(id, itemFeaturesFile, why)
    }
    notes.push(
      `the item vectors are taken as they are: without ${itemFeaturesFile} they cannot be compared with the tower`,
    )
    return own
  }
  const vectors = await check.itemVectors(features)
  if (own === null) return vectors
  const sample = sampleOf(count, vectorsSample)
  const { cosine, at } = worstCosine(vectors, own, model.outputDim, sample)
  if (cosine >= cosineMin) return vectors
  throw invalid(
    id,
    files.itemVectors,
    `the vector of item ${items.ids[at]!} has cosine ${cosine.toFixed(6)} with what the item tower makes of its row and features, less than ${cosineMin}: export both from the same state of the model`,
  )
}

async function floatsIn(
  source: Parts['source'],
  file: string,
  name: string,
  shape: readonly number[],
): Promise<Float32Array | null> {
  if (!(await source.store.exists(placeIn(source, file)))) return null
  return (await readTensors(source, file, [{ name, shape, dtype: 'F32' }], 'ignored')).f32(name)
}

/** Numbers below `count`, spread over it. */
function sampleOf(count: number, sizeMax: number): number[] {
  const size = Math.min(count, sizeMax)
  return Array.from({ length: size }, (_, i) => Math.floor((i * count) / size))
}

function worstCosine(
  a: Float32Array,
  b: Float32Array,
  dim: number,
  rows: readonly number[] = Array.from({ length: a.length / dim }, (_, i) => i),
): { cosine: number; at: number } {
  let worst = { cosine: 1, at: 0 }
  for (const at of rows) {
    const other = rowOf(b, at, dim)
    const cosine = rowOf(a, at, dim).reduce((sum, value, i) => sum + value * other[i]!, 0)
    if (!(cosine >= worst.cosine)) worst = { cosine, at }
  }
  return worst
}

function rowOf(rows: Float32Array, row: number, dim: number): Float32Array {
  return rows.subarray(row * dim, (row + 1) * dim)
}
