import type { Maybe } from '../api.ts'
import { svg } from './dom.ts'
import { clock } from './format.ts'

export interface Line {
  readonly name: string
  /** Class of the style sheet that gives the colour. */
  readonly tone: string
}

export interface Mark {
  readonly atMs: number
  readonly text: string
}

export interface ChartData {
  readonly atMs: readonly number[]
  /** One for each line, as long as `atMs`. */
  readonly columns: readonly (readonly Maybe[])[]
  readonly marks: readonly Mark[]
}

export const height = 168
export const margin = { top: 10, right: 8, bottom: 22, left: 46 }
const bottom = height - margin.bottom

interface Scale {
  x(atMs: number): number
  y(value: number): number
}

/** @param at the moment under the cursor; null: none */
export function drawing(
  { atMs, columns, marks }: ChartData,
  lines: readonly Line[],
  width: number,
  at: number | null,
  format: (value: Maybe) => string,
): SVGElement[] {
  const values = columns.flat().filter((value) => value !== null)
  if (values.length === 0) {
    const place = { x: width / 2, y: height / 2, class: 'empty' }
    return [svg('text', place, 'nothing measured in this time')]
  }
  const ticks = ticksOf(values.reduce((most, value) => Math.max(most, value), 0))
  const [first = 0] = atMs
  const last = atMs.at(-1) ?? first
  const inside = width - margin.left - margin.right
  const scale: Scale = {
    x: (ms) => margin.left + ((ms - first) / Math.max(1, last - first)) * inside,
    y: (value) => bottom - (value / ticks.at(-1)!) * (bottom - margin.top),
  }
  return [
    ...valueAxis(ticks, scale, width - margin.right, format),
    ...timeAxis(first, last, width < 420 ? 2 : 4, scale),
    ...marks
      .filter((mark) => mark.atMs >= first && mark.atMs <= last)
      .map((mark) => upright(scale.x(mark.atMs), 'mark')),
    ...lines.map(({ tone }, i) =>
      svg('path', { d: pathOf(atMs, columns[i]!, scale), class: `line ${tone}` }),
    ),
    ...(at === null ? [] : cursor(scale, atMs[at]!, lines, columns, at)),
  ]
}

function valueAxis(
  ticks: readonly number[],
  { y }: Scale,
  right: number,
  format: (value: Maybe) => string,
): SVGElement[] {
  return ticks.flatMap((tick) => [
    svg('line', { x1: margin.left, x2: right, y1: y(tick), y2: y(tick), class: 'grid' }),
    svg(
      'text',
      { x: margin.left - 8, y: y(tick) + 4, class: 'tick end' },
      tick === 0 ? '0' : format(tick),
    ),
  ])
}

function timeAxis(first: number, last: number, parts: number, { x }: Scale): SVGElement[] {
  return Array.from({ length: parts + 1 }, (_, i) => {
    const atMs = first + ((last - first) * i) / parts
    const side = i === 0 ? '' : i === parts ? ' end' : ' middle'
    return svg('text', { x: x(atMs), y: height - 5, class: `tick${side}` }, clock(atMs).slice(0, 8))
  })
}

function upright(x: number, kind: string): SVGElement {
  return svg('line', { x1: x, x2: x, y1: margin.top, y2: bottom, class: kind })
}

function cursor(
  { x, y }: Scale,
  atMs: number,
  lines: readonly Line[],
  columns: readonly (readonly Maybe[])[],
  at: number,
): SVGElement[] {
  const dots = lines.flatMap(({ tone }, i) => {
    const value = columns[i]![at] ?? null
    if (value === null) return []
    return [svg('circle', { cx: x(atMs), cy: y(value), r: 3.5, class: `dot ${tone}` })]
  })
  return [upright(x(atMs), 'cursor'), ...dots]
}

/** What is not known is a gap; a value between two gaps is a short dash, so that it can be seen. */
function pathOf(atMs: readonly number[], values: readonly Maybe[], { x, y }: Scale): string {
  let path = ''
  for (const [i, value] of values.entries()) {
    if (value === null) continue
    const isStart = (values[i - 1] ?? null) === null
    path += `${isStart ? 'M' : 'L'}${x(atMs[i]!).toFixed(1)} ${y(value).toFixed(1)}`
    if (isStart && (values[i + 1] ?? null) === null) path += 'h1.5'
  }
  return path
}

/** From 0 in round steps to just above the largest. */
function ticksOf(largest: number): number[] {
  const rough = Math.max(largest, 1e-6) / 3
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough)!
  return Array.from({ length: Math.ceil(largest / step - 1e-9) + 1 }, (_, i) => i * step)
}
