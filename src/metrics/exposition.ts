import type { Bucket } from './buckets.ts'

/** One line of a page of /metrics. */
export interface Series {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** Prometheus text as prom-client writes it: no time stamps, label values without escapes. */
export function parseExposition(text: string): Series[] {
  const series: Series[] = []
  for (const line of text.split('\n')) {
    const match = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line)
    if (match === null) continue
    const labels = [...(match[2] ?? '').matchAll(/([a-z_]+)="([^"]*)"/g)]
    series.push({
      name: match[1]!,
      labels: Object.fromEntries(labels.map(([, name, value]) => [name!, value!])),
      value: Number(match[3]),
    })
  }
  return series
}

type Labels = Readonly<Record<string, string>>

/** The sum of every series of a name that carries these labels. */
export function sumOf(series: readonly Series[], name: string, labels: Labels = {}): number {
  return matching(series, name, labels).reduce((sum, { value }) => sum + value, 0)
}

/** The buckets of a histogram, in seconds as it has them. */
export function bucketsOf(series: readonly Series[], name: string, labels: Labels): Bucket[] {
  return matching(series, `${name}_bucket`, labels).map(({ labels: { le }, value }) => ({
    upTo: le === '+Inf' ? Infinity : Number(le),
    count: value,
  }))
}

function matching(series: readonly Series[], name: string, labels: Labels): Series[] {
  const wanted = Object.entries(labels)
  return series.filter(
    (one) => one.name === name && wanted.every(([label, value]) => one.labels[label] === value),
  )
}
