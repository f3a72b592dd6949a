import type { Maybe } from '../api.ts'
import { drawing, height, margin, type ChartData, type Line, type Mark } from './chart-drawing.ts'
import type { Definition } from './definitions.ts'
import { h, svg } from './dom.ts'
import { explained } from './figure.ts'
import { clock } from './format.ts'

export type { Line, Mark } from './chart-drawing.ts'

const steps: Readonly<Record<string, number>> = { ArrowLeft: -1, ArrowRight: 1 }

/** Lines over time. The pointer, or the arrow keys, move along it; the legend then speaks of that moment. */
export class LineChart {
  readonly element: HTMLElement
  readonly #lines: readonly Line[]
  readonly #format: (value: Maybe) => string
  readonly #values: readonly HTMLElement[]
  readonly #moment = h('span', { class: 'moment' })
  readonly #canvas = svg('svg', { 'aria-hidden': 'true', height })
  readonly #frame: HTMLElement
  #data: ChartData
  #at: number | null = null

  constructor(definition: Definition, lines: readonly Line[], format: (value: Maybe) => string) {
    this.#lines = lines
    this.#format = format
    this.#data = { atMs: [], columns: lines.map(() => []), marks: [] }
    this.#values = lines.map(() => h('b', {}, '–'))
    const { button, note } = explained(definition)
    const keys = lines.map(({ name, tone }, i) =>
      h('li', {}, h('i', { class: `key ${tone}` }), `${name} `, this.#values[i]!),
    )
    const label = `${definition.label}: chart, arrow keys move along it`
    this.#frame = h(
      'div',
      { class: 'plot', tabindex: 0, role: 'group', 'aria-label': label },
      this.#canvas,
    )
    this.element = h(
      'figure',
      { class: 'chart' },
      h('figcaption', {}, button, this.#moment),
      note,
      h('ul', { class: 'legend', 'aria-live': 'off' }, ...keys),
      this.#frame,
    )
    this.#listen()
  }

  show(
    atMs: readonly number[],
    columns: readonly (readonly Maybe[])[],
    marks: readonly Mark[] = [],
  ): void {
    // Under a cursor that stays, the same moment stays.
    const moved = this.#at === null ? -1 : atMs.indexOf(this.#data.atMs[this.#at] ?? -1)
    this.#data = { atMs, columns, marks }
    this.#at = moved < 0 ? null : moved
    this.#draw()
  }

  #listen(): void {
    const frame = this.#frame
    frame.addEventListener('pointermove', ({ clientX }) => {
      const { left, width } = frame.getBoundingClientRect()
      const { atMs } = this.#data
      const part = (clientX - left - margin.left) / (width - margin.left - margin.right)
      const [first = 0] = atMs
      const wanted = first + part * ((atMs.at(-1) ?? first) - first)
      const past = atMs.findIndex((ms) => ms >= wanted)
      this.#move(past < 0 ? atMs.length - 1 : past)
    })
    frame.addEventListener('pointerleave', () => this.#move(null))
    frame.addEventListener('blur', () => this.#move(null))
    frame.addEventListener('keydown', (event) => {
      const step = steps[event.key]
      if (step === undefined) return
      event.preventDefault()
      this.#move((this.#at ?? this.#data.atMs.length - 1) + step)
    })
    new ResizeObserver(() => this.#draw()).observe(frame)
  }

  #move(to: number | null): void {
    const last = this.#data.atMs.length - 1
    this.#at = to === null || last < 0 ? null : Math.min(last, Math.max(0, to))
    this.#draw()
  }

  #draw(): void {
    const { atMs, columns, marks } = this.#data
    const at = this.#at
    const width = Math.max(240, this.#frame.clientWidth)
    this.#canvas.setAttribute('width', String(width))
    this.#canvas.replaceChildren(...drawing(this.#data, this.#lines, width, at, this.#format))
    const shown = at ?? atMs.length - 1
    for (const [i, value] of this.#values.entries()) {
      value.textContent = this.#format(columns[i]?.[shown] ?? null)
    }
    const now = at === null ? null : atMs[at]!
    const before = at === null ? null : (atMs[at - 1] ?? null)
    const mark = marks.find((one) => now !== null && one.atMs <= now && one.atMs > (before ?? now))
    this.#moment.textContent =
      now === null ? '' : `${clock(now)}${mark === undefined ? '' : ` · ${mark.text}`}`
  }
}
