export interface LineChart {
  readonly title: string
  /** What the horizontal axis counts. */
  readonly x: string
  /** Where a vertical line is drawn. */
  readonly mark?: number
  /** Places on the horizontal axis and what is written there, instead of numbers. */
  readonly labels?: readonly (readonly [number, string])[]
  /** Where the vertical axis starts; 0 without. */
  readonly fromY?: number
  readonly series: readonly {
    readonly name: string
    readonly points: readonly (readonly [number, number])[]
  }[]
}

const width = 720
const height = 320
/** The names of the lines stand to the right of them. */
const margin = { left: 52, right: 216, top: 40, bottom: 44 }
const nameHeight = 16
/** Neighbours differ in lightness as well as in hue. */
const colours = ['#1b6ca8', '#d9822b', '#3a7d44', '#7a4fa3', '#8c8c8c', '#b03a48', '#00838f']

/** A drawing of a few lines over time, as SVG without any script or font of its own. */
export function lineChart({ title, x, mark, labels, fromY = 0, series }: LineChart): string {
  const points = series.flatMap((one) => one.points)
  const xs = points.map(([value]) => value)
  const [fromX, toX] = [Math.min(...xs), Math.max(...xs)]
  const highest = Math.max(...points.map(([, value]) => value))
  const stepY = niceAbove((highest - fromY) / 8)
  const toY = fromY + Math.ceil((highest - fromY) / stepY) * stepY
  const placeX = (value: number): number =>
    margin.left + ((value - fromX) / (toX - fromX)) * (width - margin.left - margin.right)
  const placeY = (value: number): number =>
    height -
    margin.bottom -
    ((value - fromY) / (toY - fromY)) * (height - margin.top - margin.bottom)
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(margin.left, 20, title, 'font-size="14" font-weight="bold"'),
    ...ticks(fromY, toY).map((value) => {
      const y = placeY(value)
      return `${line(margin.left, y, width - margin.right, y, '#e3e3e3')}${text(margin.left - 6, y + 4, String(value), 'text-anchor="end" fill="#555"')}`
    }),
    ...(labels ?? ticks(fromX, toX).map((value) => [value, String(value)] as const)).map(
      ([value, label]) =>
        text(placeX(value), height - margin.bottom + 16, label, 'text-anchor="middle" fill="#555"'),
    ),
    text(
      (margin.left + width - margin.right) / 2,
      height - 8,
      x,
      'text-anchor="middle" fill="#555"',
    ),
    ...(mark === undefined
      ? []
      : [line(placeX(mark), margin.top - 6, placeX(mark), height - margin.bottom, '#999', '4 3')]),
    ...series.map(({ points: own }, i) => {
      const path = own.map(([px, py]) => `${placeX(px).toFixed(1)},${placeY(py).toFixed(1)}`)
      return `<polyline points="${path.join(' ')}" fill="none" stroke="${colourOf(i)}" stroke-width="2"/>`
    }),
    ...namesOf(series.map(({ points: own }) => placeY(own.at(-1)![1]))).map((y, i) =>
      text(width - margin.right + 8, y + 4, series[i]!.name, `fill="${colourOf(i)}"`),
    ),
    '</svg>',
  ]
  return `${parts.join('\n')}\n`
}

function colourOf(series: number): string {
  return colours[series % colours.length]!
}

/** Heights for names beside lines that end at these: in the same order, and none over another. */
function namesOf(ends: readonly number[]): number[] {
  const places = [...ends]
  const downwards = ends.map((_, i) => i).sort((a, b) => ends[a]! - ends[b]!)
  for (const [n, i] of downwards.entries()) {
    const before = downwards[n - 1]
    if (before !== undefined) places[i] = Math.max(places[i]!, places[before]! + nameHeight)
  }
  return places
}

function ticks(from: number, to: number): number[] {
  const step = niceAbove((to - from) / 8)
  const first = Math.ceil(from / step)
  const count = Math.floor(to / step + 1e-9) - first + 1
  return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(6)))
}

/** 1, 2 or 5 times a power of ten, not below the value. */
function niceAbove(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 5, 10].map((factor) => factor * power).find((nice) => nice >= value - 1e-12)!
}

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</text>`
}

function line(
  x1: number,
  y1: number,
  x2: number,
  y2: number,
  colour: string,
  dashes = '',
  strokeWidth = 1,
): string {
  return `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="${colour}" stroke-width="${strokeWidth}" stroke-dasharray="${dashes}"/>`
}
