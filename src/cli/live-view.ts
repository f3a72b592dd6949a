import type { ReplayProgress } from '../runtime/replay/replayer.ts'
import type { ReplaySource } from '../runtime/replay/source.ts'
import { readFigures, type Figures } from './figures.ts'
import { statusBlock, statusLine, type DailyStatus } from './live-status.ts'
import type { RoleContext } from './role-context.ts'
import type { Screen } from './screen.ts'

const screenMs = 500
const lineMs = 5_000

export interface LiveViewOptions {
  readonly context: RoleContext
  readonly screen: Screen
  readonly source: ReplaySource
  readonly metricsUrl: string | null
  readonly consoleUrl: string | null
  /** Of the daily loop, as of now. */
  daily(): DailyStatus
}

/** Draws the block twice a second on a terminal; elsewhere a line every five seconds. */
export class LiveView {
  readonly #options: LiveViewOptions
  #replay: ReplayProgress | null = null
  #before: { figures: Figures; atMs: number } | null = null
  #timer: NodeJS.Timeout | null = null

  constructor(options: LiveViewOptions) {
    this.#options = options
  }

  onReplay(progress: ReplayProgress): void {
    this.#replay = progress
  }

  start(): void {
    const { screen, source, consoleUrl } = this.#options
    screen.log(
      `input: ${source.description}\nask for a recall in a second terminal: npx freshet recall --user 123 -k 10\n`,
    )
    if (consoleUrl !== null) screen.log(`look at it in a browser: ${consoleUrl}\n`)
    this.#timer = setInterval(() => void this.show(), screen.isInteractive ? screenMs : lineMs)
  }

  /** As last shown. */
  get latest(): Figures | null {
    return this.#before?.figures ?? null
  }

  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#options.screen.end()
  }

  async show(): Promise<void> {
    const { context, screen, metricsUrl, consoleUrl, source, daily } = this.#options
    const figures = await readFigures(context.metrics)
    const atMs = performance.now()
    const input = {
      figures,
      before: this.#before?.figures ?? null,
      elapsedMs: atMs - (this.#before?.atMs ?? atMs),
      replay: this.#replay,
      input: source.description,
      metricsUrl,
      consoleUrl,
      daily: daily(),
    }
    this.#before = { figures, atMs }
    if (screen.isInteractive) screen.draw(statusBlock(input))
    else screen.log(`${statusLine(input)}\n`)
  }
}
