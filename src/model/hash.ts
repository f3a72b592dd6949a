/** Hashes and the seeded generator behind every random choice. All of them are functions of their arguments alone. */

/** The finaliser of MurmurHash3: every bit of the input reaches every bit of the result. */
export function mix32(value: number): number {
  let h = value | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** 32-bit hash of the UTF-16 units of `text`: FNV-1a, then mixed, because FNV's low bits are weak. */
export function hash32(text: string, seed = 0x811c9dc5): number {
  let h = seed | 0
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return mix32(h)
}

/** FNV-1a, 32 bit, over the UTF-8 bytes of `text`: the bucket hash of categorical values. */
export function fnv1a(text: string): number {
  let h = 0x811c9dc5 | 0
  for (let i = 0; i < text.length; i++) {
    const point = text.codePointAt(i)!
    if (point < 0x80) {
      h = Math.imul(h ^ point, 0x01000193)
      continue
    }
    // A surrogate pair is one point.
    if (point > 0xffff) i++
    let shift = point < 0x800 ? 6 : point < 0x10000 ? 12 : 18
    const lead = shift === 6 ? 0xc0 : shift === 12 ? 0xe0 : 0xf0
    h = Math.imul(h ^ (lead | (point >> shift)), 0x01000193)
    while (shift > 0) {
      shift -= 6
      h = Math.imul(h ^ (0x80 | ((point >> shift) & 0x3f)), 0x01000193)
    }
  }
  return h >>> 0
}

/** sfc32 (Chris Doty-Humphrey): small, fast, passes PractRand. */
export class Random {
  #a: number
  #b: number
  #c = 0
  #counter = 1

  constructor(seedHigh: number, seedLow: number) {
    this.#a = seedHigh | 0
    this.#b = seedLow | 0
    for (let i = 0; i < 12; i++) this.nextInt()
  }

  /** An unsigned 32-bit integer. */
  nextInt(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** In [0, 1). */
  nextFloat(): number {
    return this.nextInt() / 4294967296
  }

  /** Standard normal, by Box and Muller. */
  nextNormal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.nextFloat()))
    return radius * Math.cos(2 * Math.PI * this.nextFloat())
  }
}
