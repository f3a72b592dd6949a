import { mix32 } from '../../model/hash.ts'
import { AvroReader } from '../../records/avro-io.ts'

const goldenRatio = 0x9e3779b9
const firstPrime = 0x01000193
const secondPrime = 0x85ebca6b

/**
 * The place of an example in the order of its day: 64 bits from the seed, request and item, as two integers of 32. Both are FNV-1a (with
 * primes of their own) over the bytes of the ids, each mixed by the finaliser of MurmurHash3, in one pass: this runs for every example.
 */
export class ExampleHash {
  /** Of the last example, as signed integers: those are stored without a conversion. */
  high = 0
  low = 0
  readonly #firstSeed: number
  readonly #secondSeed: number

  /** The seed is mixed first: FNV-1a would only XOR it with the first byte, and small seeds give each other's orders. */
  constructor(seed: number) {
    this.#firstSeed = mix32(seed) | 0
    this.#secondSeed = mix32(seed ^ goldenRatio) | 0
  }

  /** @param body Avro body of an example; its ids are hashed as the bytes they are */
  of(body: Buffer): void {
    this.high = this.#firstSeed
    this.low = this.#secondSeed
    const reader = new AvroReader(body)
    const request = reader.skip('request_id')
    this.#add(body, request, reader.offset)
    reader.skip('user_id')
    const item = reader.skip('item_id')
    this.#add(body, item, reader.offset)
  }

  #add(bytes: Buffer, from: number, to: number): void {
    let high = this.high
    let low = this.low
    for (let i = from; i < to; i++) {
      const byte = bytes[i]!
      high = Math.imul(high ^ byte, firstPrime)
      low = Math.imul(low ^ byte, secondPrime)
    }
    this.high = mix32(high) | 0
    this.low = mix32(low) | 0
  }
}
