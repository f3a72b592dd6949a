import type { ProtocolEncoder } from './kafkajs.ts'

/** Reads the fields of an answer in their order; for versions that are not flexible. */
export class PayloadReader {
  readonly #payload: Buffer
  #at = 0

  constructor(payload: Buffer) {
    this.#payload = payload
  }

  int8(): number {
    return this.#payload.readInt8(this.#move(1))
  }

  int16(): number {
    return this.#payload.readInt16BE(this.#move(2))
  }

  int32(): number {
    return this.#payload.readInt32BE(this.#move(4))
  }

  /** Null for the length -1. */
  string(): string | null {
    return this.#take(this.int16())?.toString() ?? null
  }

  bytes(): Buffer | null {
    return this.#take(this.int32())
  }

  array<T>(read: () => T): T[] {
    return Array.from({ length: Math.max(0, this.int32()) }, read)
  }

  #take(length: number): Buffer | null {
    if (length < 0) return null
    const from = this.#move(length)
    return this.#payload.subarray(from, from + length)
  }

  #move(bytes: number): number {
    this.#at += bytes
    return this.#at - bytes
  }
}

export function writeStrings(encoder: ProtocolEncoder, texts: readonly string[]): ProtocolEncoder {
  encoder.writeInt32(texts.length)
  for (const text of texts) encoder.writeString(text)
  return encoder
}
