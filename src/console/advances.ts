const keptMax = 1_000
const lineagesMax = 64

interface Advance {
  /** First offset that was not learnt. */
  readonly offset: number
  readonly atMs: number
}

/** When learning was reported to have come how far, by generation and partition. */
export class Advances {
  readonly #all = new Map<string, Advance[]>()

  reached(generation: string, partition: number, offset: number, atMs: number): void {
    const key = `${generation}/${partition}`
    const advances = this.#all.get(key) ?? []
    const last = advances.at(-1)
    if (last !== undefined && offset <= last.offset) return
    advances.push({ offset, atMs })
    if (advances.length > keptMax) advances.shift()
    this.#all.set(key, advances)
    if (this.#all.size > lineagesMax) this.#all.delete(this.#all.keys().next().value!)
  }

  /** When an example was first reported as learnt. Null where nothing was seen before it was, or it is not. */
  learntAtMs(generation: string, partition: number, offset: number): number | null {
    const advances = this.#all.get(`${generation}/${partition}`) ?? []
    const at = advances.findIndex((advance) => advance.offset > offset)
    return at <= 0 ? null : advances[at]!.atMs
  }
}
