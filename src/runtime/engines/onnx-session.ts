import './no-telemetry.ts'
import { InferenceSession } from 'onnxruntime-node'
import { FreshetError, messageOf } from '../../errors.ts'
import { matrix, sessionOptions } from './onnx-tensors.ts'

/** An ONNX file of other origin, run as it is. */
export class OnnxFile {
  readonly #session: InferenceSession

  /** @throws FreshetError FILE_INVALID */
  static async open(bytes: Uint8Array): Promise<OnnxFile> {
    const options = sessionOptions({ threads: 1 })
    return new OnnxFile(await InferenceSession.create(bytes, options).catch(refuse))
  }

  private constructor(session: InferenceSession) {
    this.#session = session
  }

  /**
   * @param inputs [count x width] by name; those that the file does not take are left out
   * @returns the output of this name [count x width]
   * @throws FreshetError FILE_INVALID
   */
  async run(
    inputs: Readonly<Record<string, Float32Array>>,
    count: number,
    { name, width }: { readonly name: string; readonly width: number },
  ): Promise<Float32Array> {
    const taken = this.#session.inputNames.map((input) => {
      const values = inputs[input]!
      return [input, matrix(values, count, values.length / count)] as const
    })
    const results = await this.#session.run(Object.fromEntries(taken)).catch(refuse)
    const { data, dims, type } = results[name]!
    if (!(data instanceof Float32Array)) throw invalid(`its ${name} are ${type}, not float32`)
    if (dims.join(' x ') === `${count} x ${width}`) return data
    throw invalid(
      `for ${count} rows its ${name} are ${dims.join(' x ')}, they have to be ${count} x ${width}`,
    )
  }

  close(): Promise<void> {
    return this.#session.release()
  }
}

function refuse(cause: unknown): never {
  throw invalid(`onnxruntime cannot run it: ${messageOf(cause)}`, cause)
}

function invalid(why: string, cause?: unknown): FreshetError {
  return new FreshetError('FILE_INVALID', why, { cause })
}
