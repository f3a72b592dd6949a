import type { Generations, GenerationView, Milestone } from '../api.ts'
import { ask, type Page } from './api-client.ts'
import { definitions } from './definitions.ts'
import { h, region, svg, type Child } from './dom.ts'
import { command, term } from './figure.ts'
import { bytes, clock, count, moment, share, signed } from './format.ts'

export const generationsPage: Page = {
  name: 'generations',
  title: 'Generations',
  open: (main) => {
    const body = region<Generations>(h('div', {}), bodyOf)
    main.append(
      h('h1', {}, 'Generations'),
      h(
        'p',
        { class: 'intro' },
        'Each day is learned once more, whole, from the generation before it. What passes catches up with today and goes live at once everywhere.',
      ),
      body.element,
      command('freshet generations'),
    )
    return {
      refresh: async () => body.show({ ...(await ask<Generations>('generations')), atMs: 0 }),
      everyMs: 3_000,
    }
  },
}

function bodyOf({
  generations,
  training,
  waitsFor,
  rollbackUntilMs,
  podsHeard,
}: Generations): Child[] {
  if (generations.length === 0) {
    return [
      h(
        'p',
        { class: 'quiet' },
        'There is no generation yet: the controller makes the first one when it starts.',
      ),
    ]
  }
  const byId = new Map(generations.map((one) => [one.id, one]))
  return [
    training !== null &&
      h(
        'p',
        { class: 'lead' },
        h('span', { class: 'state candidate' }, 'training'),
        ` full update of ${training.day}: ${Math.round(training.share * 100)} %`,
      ),
    h(
      'ol',
      { class: 'lineage' },
      ...generations.map((one, i) =>
        cardOf(one, {
          podsHeard,
          waitsFor,
          rollbackUntilMs,
          follows: one.parent !== null && one.parent === generations[i + 1]?.id,
          hasParent: one.parent !== null && byId.has(one.parent),
        }),
      ),
    ),
  ]
}

interface Around {
  readonly podsHeard: number
  readonly waitsFor: readonly string[]
  readonly rollbackUntilMs: number | null
  /** The parent stands right below. */
  readonly follows: boolean
  readonly hasParent: boolean
}

function cardOf(one: GenerationView, around: Around): HTMLElement {
  const { id, standing, day, kind, problem, milestones } = one
  const what = kind === 'bootstrap' ? 'random, untrained' : day === null ? '' : `through ${day}`
  return h(
    'li',
    { class: `generation is-${standing}${around.follows ? ' follows' : ''}` },
    h(
      'div',
      { class: 'generation-head' },
      h('h2', {}, id),
      h('span', { class: `state ${standing}` }, standing),
      h('span', { class: 'quiet' }, what),
    ),
    parentLine(one, around),
    problem !== null && h('p', { class: 'alert' }, problem),
    standing === 'previous' &&
      around.rollbackUntilMs !== null &&
      h(
        'p',
        { class: 'quiet' },
        `freshet rollback goes back to it, until ${clock(around.rollbackUntilMs)}`,
      ),
    milestones.length > 0 && steps(milestones),
    standing === 'candidate' &&
      around.waitsFor.length > 0 &&
      h('ul', { class: 'waits' }, ...around.waitsFor.map((text) => h('li', {}, `waits: ${text}`))),
    h('dl', { class: 'facts' }, ...factsOf(one, around.podsHeard)),
    one.gate !== null && gateOf(one.gate),
  )
}

function parentLine({ parent }: GenerationView, { follows, hasParent }: Around): Child {
  if (parent === null || follows) return null
  return h('p', { class: 'quiet' }, `from ${parent}${hasParent ? '' : ', which is no longer kept'}`)
}

function steps(milestones: readonly Milestone[]): HTMLElement {
  return h(
    'ol',
    { class: 'steps' },
    ...milestones.map(({ name, isReached, atMs, detail }) =>
      h(
        'li',
        { class: isReached ? 'done' : 'open', title: detail },
        h('b', {}, name),
        ' ',
        h('span', {}, atMs === null ? (isReached ? 'done' : 'not yet') : clock(atMs)),
        detail !== '' && h('small', {}, detail),
      ),
    ),
  )
}

function factsOf(one: GenerationView, podsHeard: number): Child[] {
  const { training, index, pods } = one
  const fact = (name: string, meaning: string, value: string): Child[] => [
    h('div', {}, h('dt', {}, term(name, meaning)), h('dd', {}, value)),
  ]
  const serving = pods.filter(({ serves }) => serves).length
  return [
    ...fact('users', 'Rows of users, besides the default row.', count(one.users)),
    ...fact('items', 'Rows and vectors of items.', count(one.items)),
    ...fact('size', 'Of its folder in the artifact store.', bytes(one.bytes)),
    ...(training === null
      ? []
      : [
          ...fact(
            'examples',
            'Examples of its day that it was trained on, each once.',
            count(training.examples),
          ),
          ...fact(
            'training',
            'Wall-clock time of the full update.',
            `${training.seconds.toFixed(1)} s`,
          ),
          ...fact('loss', 'Mean loss of an example before its update.', share(training.loss)),
        ]),
    ...(index === null
      ? []
      : fact(
          'index recall@100',
          'Of its index against exact search on a sample, when it was built.',
          share(index.recall),
        )),
    ...fact(
      'pods',
      'Pods that hold it, verified; and how many of them serve it now.',
      podsHeard === 0
        ? 'none heard of'
        : `${pods.length} of ${podsHeard}${serving > 0 ? `, ${serving} serving` : ''}`,
    ),
    ...fact('made', 'When its folder was written.', moment(one.createdAtMs)),
  ]
}

function gateOf({
  verdict,
  why,
  difference,
  interval,
}: NonNullable<GenerationView['gate']>): HTMLElement {
  const { label, meaning } = definitions.gate
  return h(
    'div',
    { class: 'gate' },
    h('p', {}, term(label, meaning), ' ', h('b', { class: `verdict ${verdict}` }, verdict)),
    difference !== null && interval !== null && intervalBar(difference, interval),
    h('p', { class: 'quiet' }, why),
  )
}

/** Zero in the middle; the interval as a line, the difference as a dot. */
function intervalBar(difference: number, [low, high]: readonly [number, number]): SVGElement {
  const reach = Math.max(Math.abs(low), Math.abs(high), 1e-6) * 1.15
  const x = (value: number): number => 120 + (value / reach) * 110
  return svg(
    'svg',
    {
      class: 'interval',
      viewBox: '0 0 240 22',
      role: 'img',
      'aria-label': `difference ${signed(difference)}, interval ${signed(low)} to ${signed(high)}`,
    },
    svg('line', { x1: 10, x2: 230, y1: 11, y2: 11, class: 'grid' }),
    svg('line', { x1: 120, x2: 120, y1: 3, y2: 19, class: 'cursor' }),
    svg('line', { x1: x(low), x2: x(high), y1: 11, y2: 11, class: 'line tone-visible' }),
    svg('circle', { cx: x(difference), cy: 11, r: 4.5, class: 'dot tone-visible' }),
  )
}
