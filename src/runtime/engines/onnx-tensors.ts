import { Tensor } from 'onnxruntime-node'
import type { InferenceSession } from 'onnxruntime-node'
import { invariant } from '../../errors.ts'

export type GraphResults = Readonly<Record<string, { readonly data: unknown }>>

/** A graph of model/onnx-graph.ts that can be run: a session of onnxruntime is one. */
export interface GraphSession {
  run(feeds: Readonly<Record<string, Tensor>>): Promise<GraphResults>
  release(): Promise<void>
}

export type OpenGraph = (graph: Uint8Array) => Promise<GraphSession>

export interface OnnxOptions {
  /** Threads inside one operator. Results are bit-equal for any number on one CPU. */
  readonly threads: number
}

export function sessionOptions({ threads }: OnnxOptions): InferenceSession.SessionOptions {
  return {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    logSeverityLevel: 3,
  }
}

/** A tensor over the first floats of the caller's array: nothing is copied on this side. Without columns it has one dimension. */
export function matrix(data: Float32Array, rows: number, columns?: number): Tensor {
  const count = rows * (columns ?? 1)
  invariant(data.length >= count, `${data.length} floats are no ${rows} x ${columns ?? 1} matrix`)
  return new Tensor(
    'float32',
    data.subarray(0, count),
    columns === undefined ? [rows] : [rows, columns],
  )
}

export function floats(results: GraphResults, name: string): Float32Array {
  const data = results[name]?.data
  invariant(data instanceof Float32Array, `the tensor engine returned no floats named ${name}`)
  return data
}
