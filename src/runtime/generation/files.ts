import { ComputedFeatures } from '../../model/computed-features.ts'
import type { ActivityState } from '../../model/item-activity.ts'
import type { DenseParameters, ModelSpec, Side } from '../../model/spec.ts'
import type { Tensor } from '../../records/safetensors.ts'
import { denseTensors, denseTensorShapes, trainedTensors, trainedTensorShapes } from './dense.ts'
import type { RecentState } from '../../streams/full-update-types.ts'
import type { Optimiser, TrainableGeneration } from './generation.ts'

/** What a generation folder holds besides manifest.json. */
export const files = {
  dense: 'dense.safetensors',
  userTower: 'user-tower.onnx',
  itemTower: 'item-tower.onnx',
  userIds: 'user-ids.avro',
  itemIds: 'item-ids.avro',
  userRows: 'user-rows.safetensors',
  itemRows: 'item-rows.safetensors',
  recent: 'user-recent.safetensors',
  itemVectors: 'item-vectors.safetensors',
  optimiser: 'optimiser.safetensors',
} as const

export const towerFiles: Readonly<Record<Side, string>> = {
  user: files.userTower,
  item: files.itemTower,
}

/** Of opaque towers whose rows learn. */
export const gradientFiles: Readonly<Record<Side, string>> = {
  user: 'user-tower-gradient.onnx',
  item: 'item-tower-gradient.onnx',
}

/** For people: whose rows do not learn, and the remedy; null where all do. */
export function frozenNote(frozen: readonly Side[]): string | null {
  if (frozen.length === 0) return null
  const missing = frozen.map((side) => gradientFiles[side]).join(' and ')
  return `${frozen.join(' and ')} rows stay frozen: import it with ${missing} to let them learn`
}

/** The encoded features of the items, which only `freshet import` reads. */
export const itemFeaturesFile = 'item-features.safetensors'

export interface ExpectedTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly dtype: 'F32' | 'F64' | 'U32'
  readonly isOptional?: boolean
}

/** The dense parameters and both rows 0: all that serving needs besides the items. */
export function denseFile(
  model: ModelSpec,
  dense: DenseParameters,
  userDefaultRow: Float32Array,
  itemDefaultRow: Float32Array,
): Map<string, Tensor> {
  const shape = [model.dim]
  return denseTensors(model, dense)
    .set('user.default_row', { shape, data: userDefaultRow })
    .set('item.default_row', { shape, data: itemDefaultRow })
}

export function denseFileTensors(model: ModelSpec): ExpectedTensor[] {
  return [
    ...floats(denseTensorShapes(model)),
    ...floats([
      { name: 'user.default_row', shape: [model.dim] },
      { name: 'item.default_row', shape: [model.dim] },
    ]),
  ]
}

export function rowsFile(
  rows: Float32Array,
  seenMs: Float64Array,
  dim: number,
): Map<string, Tensor> {
  return new Map<string, Tensor>([
    ['rows', { shape: [seenMs.length, dim], data: rows }],
    ['seen_ms', { shape: [seenMs.length], data: seenMs }],
  ])
}

export function rowsFileTensors(count: number, dim: number): ExpectedTensor[] {
  return [
    { name: 'rows', shape: [count, dim], dtype: 'F32' },
    { name: 'seen_ms', shape: [count], dtype: 'F64' },
  ]
}

/** Rows of items, with what the log says of them where the model uses it. */
export function itemRowsFile(generation: TrainableGeneration): Map<string, Tensor> {
  const { model, itemRows, itemSeenMs, itemActivity } = generation
  const tensors = rowsFile(itemRows, itemSeenMs, model.dim)
  for (const [name, column] of activityTensors(model)) {
    tensors.set(name, { shape: [itemSeenMs.length], data: itemActivity[column] })
  }
  return tensors
}

export function itemRowsFileTensors(count: number, model: ModelSpec): ExpectedTensor[] {
  const columns = activityTensors(model).map(([name]): ExpectedTensor => ({
    name,
    shape: [count],
    dtype: 'F64',
  }))
  return [...rowsFileTensors(count, model.dim), ...columns]
}

export function activityTensors(model: ModelSpec): (readonly [string, keyof ActivityState])[] {
  if (new ComputedFeatures(model.item).isEmpty) return []
  return [
    ['activity.first_ms', 'firstMs'],
    ['activity.hour', 'hours'],
    ['activity.before', 'before'],
    ['activity.within', 'within'],
  ]
}

export function recentFile({ counts, items, timesMs }: RecentState): Map<string, Tensor> {
  return new Map<string, Tensor>([
    ['counts', { shape: [counts.length], data: counts }],
    ['items', { shape: [items.length], data: items }],
    ['clicked_ms', { shape: [timesMs.length], data: timesMs }],
  ])
}

export function recentFileTensors(counts: {
  readonly users: number
  readonly recent: number
}): ExpectedTensor[] {
  return [
    { name: 'counts', shape: [counts.users], dtype: 'U32' },
    { name: 'items', shape: [counts.recent], dtype: 'U32' },
    { name: 'clicked_ms', shape: [counts.recent], dtype: 'F64' },
  ]
}

export function optimiserFile(
  model: ModelSpec,
  { optimiser, userIds, itemIds }: TrainableGeneration,
): Map<string, Tensor> {
  const { adam, frequency } = optimiser
  const tensors = new Map<string, Tensor>([
    ...trainedTensors(model, adam.first, 'adam.first.'),
    ...trainedTensors(model, adam.second, 'adam.second.'),
  ])
  const users = [userIds.length]
  const items = [itemIds.length]
  return tensors
    .set('user.accumulators', { shape: users, data: optimiser.userAccumulators })
    .set('item.accumulators', { shape: items, data: optimiser.itemAccumulators })
    .set('user.default_accumulator', scalar(optimiser.userDefaultAccumulator))
    .set('item.default_accumulator', scalar(optimiser.itemDefaultAccumulator))
    .set('frequency.last_seen', { shape: items, data: frequency.lastSeen })
    .set('frequency.gap', { shape: items, data: frequency.gap })
    .set('frequency.gaps', { shape: items, data: frequency.gaps })
}

export function optimiserFileTensors(
  model: ModelSpec,
  counts: { readonly users: number; readonly items: number },
): ExpectedTensor[] {
  const users = [counts.users]
  const items = [counts.items]
  const moments = ['adam.first.', 'adam.second.'].flatMap((prefix) =>
    trainedTensorShapes(model, prefix),
  )
  return [
    ...floats([
      ...moments,
      { name: 'user.accumulators', shape: users },
      { name: 'item.accumulators', shape: items },
    ]),
    { name: 'user.default_accumulator', shape: [1], dtype: 'F64' },
    { name: 'item.default_accumulator', shape: [1], dtype: 'F64' },
    { name: 'frequency.last_seen', shape: items, dtype: 'F64' },
    { name: 'frequency.gap', shape: items, dtype: 'F64' },
    { name: 'frequency.gaps', shape: items, dtype: 'F64' },
  ]
}

/** Counters of the whole lineage, which are no tensors. */
export function lineageOf({ adam, frequency }: Optimiser) {
  return { steps: adam.steps, examples: frequency.examples }
}

function scalar(value: number): Tensor {
  return { shape: [1], data: Float64Array.of(value) }
}

function floats(
  shapes: readonly { readonly name: string; readonly shape: readonly number[] }[],
): ExpectedTensor[] {
  return shapes.map((each) => ({ ...each, dtype: 'F32' }))
}
