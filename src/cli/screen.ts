/**
 * A block of lines at the bottom of the terminal, drawn over in place; whatever is written through `log` scrolls by above
 * it. Without a terminal the block is never drawn.
 */
export class Screen {
  readonly #out: NodeJS.WriteStream
  #drawn: readonly string[] = []

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
  }

  get isInteractive(): boolean {
    return this.#out.isTTY
  }

  draw(lines: readonly string[]): void {
    if (!this.isInteractive) return
    const width = this.#out.columns
    const cut = lines.map((line) => (line.length > width ? `${line.slice(0, width - 1)}…` : line))
    this.#out.write(`${this.#erase()}${cut.join('\n')}\n`)
    this.#drawn = cut
  }

  log(text: string): void {
    const block = this.#drawn.length === 0 ? '' : `${this.#drawn.join('\n')}\n`
    this.#out.write(`${this.#erase()}${text}${block}`)
  }

  /** Leaves what is drawn where it is. */
  end(): void {
    this.#drawn = []
  }

  #erase(): string {
    return this.#drawn.length === 0 ? '' : `\u001b[${this.#drawn.length}F\u001b[J`
  }
}
