import type { Maybe, Overview, TimelineEvent } from '../api.ts'
import { ask, hrefOf, type Page } from './api-client.ts'
import { LineChart, type Mark } from './chart.ts'
import { definitions, type DefinitionName } from './definitions.ts'
import { h, region, type Child } from './dom.ts'
import { command, figure, type Figure } from './figure.ts'
import { ago, clock, count, delay, duration, rate, share } from './format.ts'

const stages = ['ingest', 'joiner', 'learner', 'visible'] as const
const stageLines = stages.map((name) => ({ name, tone: `tone-${name}` }))
const recallLines = [
  { name: 'recall@50', tone: 'tone-visible' },
  { name: 'recall@100', tone: 'tone-joiner' },
  { name: 'popularity@50', tone: 'tone-base' },
  { name: 'popularity@100', tone: 'tone-base-light' },
]
const rateLines = [
  { name: 'events/s', tone: 'tone-joiner' },
  { name: 'examples/s', tone: 'tone-visible' },
  { name: 'replies/s', tone: 'tone-warm' },
]
const shownEvents = 10

const figureNames = [
  'visible',
  'recall50',
  'popularity50',
  'annRecall',
  'loss',
  'events',
  'examples',
  'replies',
  'deadLetters',
] as const satisfies readonly DefinitionName[]

type Figures = Readonly<Record<(typeof figureNames)[number], Figure>>
type Charts = ReturnType<typeof makeCharts>
type Lead = Pick<
  Overview,
  'live' | 'liveSinceMs' | 'candidate' | 'waitsFor' | 'alerts' | 'sources'
> & { readonly second: number }

export const overviewPage: Page = {
  name: 'overview',
  title: 'Overview',
  open: (main) => {
    let window = 'recent'
    const figures = Object.fromEntries(
      figureNames.map((name) => [name, figure(name)]),
    ) as unknown as Figures
    const charts = makeCharts()
    const lead = region<Lead>(h('section', { class: 'lead', 'aria-label': 'What is live' }), leadOf)
    const lost = region<Overview['now']>(h('div', {}), lossBars)
    const timeline = region<Overview['events']>(h('div', {}), timelineOf)
    const refresh = async (): Promise<void> => {
      const overview = await ask<Overview>('overview', { window })
      const { live, liveSinceMs, candidate, waitsFor, alerts, sources, atMs, now } = overview
      const second = Math.floor(atMs / 1_000)
      lead.show({ live, liveSinceMs, candidate, waitsFor, alerts, sources, second })
      showFigures(now, figures)
      showCharts(overview, charts)
      lost.show(now)
      timeline.show(overview.events)
    }
    const choice = windowChoice((chosen) => {
      window = chosen
      void refresh()
    })
    const numbers = figureNames.map((name) => figures[name].element)
    const graphs = Object.values(charts).map(({ element }) => element)
    main.append(
      h('h1', {}, 'Overview'),
      lead.element,
      h('section', { class: 'figures', 'aria-label': 'Now' }, ...numbers),
      section('Over time', choice, h('div', { class: 'charts' }, ...graphs)),
      h(
        'div',
        { class: 'columns' },
        section('Timeline', null, timeline.element, command('freshet watch')),
        section('Where recall is lost', null, lost.element),
      ),
    )
    return { refresh, everyMs: 2_000 }
  },
}

function makeCharts() {
  const recall = { ...definitions.recall50, label: 'Progressive recall beside popularity' }
  return {
    median: new LineChart(definitions.delayMedian, stageLines, delay),
    tail: new LineChart(definitions.delayTail, stageLines, delay),
    recall: new LineChart(recall, recallLines, share),
    rates: new LineChart({ ...definitions.examples, label: 'Rates' }, rateLines, rate),
  }
}

function section(title: string, beside: Child, ...children: readonly Child[]): HTMLElement {
  const id = title.toLowerCase().replaceAll(' ', '-')
  const heading = h('div', { class: 'heading' }, h('h2', { id }, title), beside)
  return h('section', { 'aria-labelledby': id }, heading, ...children)
}

function leadOf({
  live,
  liveSinceMs,
  candidate,
  waitsFor,
  alerts,
  sources,
  second,
}: Lead): Child[] {
  const since = liveSinceMs === null ? '' : `, for ${duration(second * 1_000 - liveSinceMs)}`
  const problems = [
    ...(sources.length === 0
      ? [
          'No metrics are known, so there are no delays, rates and recall: give console.metricsUrls.',
        ]
      : []),
    ...sources.flatMap(({ name, problem }) => (problem === null ? [] : [`${name}: ${problem}`])),
    ...alerts,
  ]
  return [
    h(
      'p',
      { title: definitions.liveGeneration.meaning },
      h('span', { class: 'state live' }, 'live'),
      ' ',
      live === null ? 'no generation yet' : h('a', { href: hrefOf('generations') }, live),
      since,
    ),
    candidate !== null &&
      h(
        'p',
        {},
        h('span', { class: 'state candidate' }, 'candidate'),
        ' ',
        h('a', { href: hrefOf('generations') }, candidate),
        waitsFor.length === 0 ? '' : `, waits: ${waitsFor[0]!}`,
      ),
    ...problems.map((text) => h('p', { class: 'alert' }, text)),
  ]
}

function showFigures(now: Overview['now'], figures: Figures): void {
  if (now === null) return
  const set = (name: keyof Figures, text: string, detail?: string): void =>
    figures[name].set(text, detail)
  const { visible } = now.delays
  set('visible', delay(visible.p50Ms), `p50 · ${delay(visible.p99Ms)} p99`)
  set('recall50', share(now.recallAt50), `· ${share(now.recallAt100)} @100`)
  set('popularity50', share(now.popularityAt50), `· ${share(now.popularityAt100)} @100`)
  set('annRecall', share(now.annRecall))
  set('loss', share(now.loss))
  set('events', rate(now.eventsPerSecond), `${count(now.events)} so far`)
  set('examples', rate(now.examplesPerSecond), `${count(now.examples)} so far`)
  set('replies', rate(now.repliesPerSecond))
  set('deadLetters', count(now.deadLetters))
}

function showCharts({ series, events }: Overview, charts: Charts): void {
  const { atMs, delays } = series
  const marks: Mark[] = events
    .filter(({ event }) => event === 'switch' || event === 'rollback')
    .map((event) => ({ atMs: event.atMs, text: event.message }))
  charts.median.show(
    atMs,
    stages.map((stage) => delays[stage].p50Ms),
    marks,
  )
  charts.tail.show(
    atMs,
    stages.map((stage) => delays[stage].p99Ms),
    marks,
  )
  charts.recall.show(
    atMs,
    [series.recallAt50, series.recallAt100, series.popularityAt50, series.popularityAt100],
    marks,
  )
  charts.rates.show(
    atMs,
    [series.eventsPerSecond, series.examplesPerSecond, series.repliesPerSecond],
    marks,
  )
}

function windowChoice(choose: (window: string) => void): HTMLElement {
  const option = (value: string, text: string, isChosen: boolean): HTMLElement =>
    h(
      'label',
      {},
      h('input', {
        type: 'radio',
        name: 'window',
        value,
        checked: isChosen,
        onchange: () => choose(value),
      }),
      h('span', {}, text),
    )
  return h(
    'fieldset',
    { class: 'choice' },
    h('legend', {}, 'Time shown'),
    option('recent', 'last 15 min', true),
    option('all', 'all', false),
  )
}

function lossBars(now: Overview['now']): Child[] {
  if (now === null) return [h('p', { class: 'quiet' }, 'No metrics have been read yet.')]
  return [
    bar(
      'The model',
      now.recallAt50,
      'of the clicked items are among its first 50',
      definitions.recall50.meaning,
    ),
    bar(
      'The index',
      now.annRecall,
      'of what the model finds is served',
      definitions.annRecall.meaning,
    ),
    bar(
      'The baseline',
      now.popularityAt50,
      'are among the 50 most popular',
      definitions.popularity50.meaning,
    ),
    h(
      'p',
      { class: 'quiet' },
      'If the index serves nearly all and recall is low, look at the model; if it does not, raise index.efSearch.',
    ),
  ]
}

function bar(name: string, value: Maybe, text: string, meaning: string): HTMLElement {
  const percent = value === null ? '–' : `${(value * 100).toFixed(1)} %`
  const meter = h('div', { class: 'meter' }, h('div', {}))
  ;(meter.firstChild as HTMLElement).style.width = `${(value ?? 0) * 100}%`
  return h(
    'div',
    { class: 'bar-row', title: meaning },
    h('p', {}, h('b', {}, name), ' ', h('span', {}, percent), ' ', text),
    meter,
  )
}

function timelineOf(events: Overview['events']): Child[] {
  if (events.length === 0)
    return [h('p', { class: 'quiet' }, 'Nothing has happened to a generation yet.')]
  const row = ({ atMs, event, message }: TimelineEvent): HTMLElement =>
    h(
      'li',
      { class: `event event-${event.replaceAll(' ', '-')}` },
      h(
        'time',
        { datetime: new Date(atMs).toISOString(), title: ago(atMs, Date.now()) },
        clock(atMs),
      ),
      h('span', {}, message),
    )
  const older = events.slice(shownEvents)
  return [
    h('ol', { class: 'timeline' }, ...events.slice(0, shownEvents).map(row)),
    older.length > 0 &&
      h(
        'details',
        { id: 'older' },
        h('summary', {}, `${older.length} before these`),
        h('ol', { class: 'timeline' }, ...older.map(row)),
      ),
  ]
}
