import type { ItemMap, MapPoint } from '../api.ts'
import { ask, hrefOf, type Page } from './api-client.ts'
import { h, region, svg, type Child } from './dom.ts'
import { command } from './figure.ts'
import { count } from './format.ts'
import { userForm } from './user.ts'

const categoriesMax = 8
const view = 600
const padding = 16
const hint = 'Point at the map, or focus it and use the arrow keys.'

type Place = Pick<MapPoint, 'x' | 'y'>

export const mapPage: Page = {
  name: 'map',
  title: 'Map',
  open: (main, query) => {
    const user = query.get('user') ?? ''
    const body = region<ItemMap>(h('div', {}), bodyOf)
    main.append(
      h('h1', {}, 'Map'),
      h(
        'p',
        { class: 'intro' },
        'Items of the live generation in two dimensions: the plane in which their vectors differ most. Near is similar, far may still be near in a dimension that is not drawn.',
      ),
      userForm('map', user, null),
      body.element,
    )
    return {
      refresh: async () =>
        body.show({ ...(await ask<ItemMap>('map', user === '' ? {} : { user })), atMs: 0 }),
      everyMs: 10_000,
    }
  },
}

function bodyOf(map: ItemMap): Child[] {
  const { generation, items, points, shares, user } = map
  const categories = categoriesOf(points)
  const plot = new Plot(map, (category) => {
    const at = categories.indexOf(category)
    return at < 0 ? 'hue-other' : `hue-${at}`
  })
  const percent = shares.map((share) => `${(share * 100).toFixed(0)} %`)
  return [
    h(
      'div',
      { class: 'map' },
      h(
        'div',
        {},
        plot.element,
        h(
          'ul',
          { class: 'legend' },
          ...categories.map((category, i) =>
            h(
              'li',
              {},
              h('i', { class: `key hue-${i}` }),
              category === '' ? 'without category' : category,
            ),
          ),
          categories.length === categoriesMax &&
            h('li', {}, h('i', { class: 'key hue-other' }), 'others'),
        ),
      ),
      h(
        'aside',
        {},
        user === null
          ? h(
              'p',
              { class: 'quiet' },
              'Enter a user to see the vector among the items, and what is nearest to it.',
            )
          : topOf(user, (at) => plot.point(at)),
      ),
    ),
    h(
      'p',
      { class: 'quiet' },
      `${count(points.length)} of ${count(items)} items of ${generation}, always the same ones. The axes hold ${percent[0]} and ${percent[1]} of the variance.`,
    ),
    command(user === null ? 'freshet generations' : `freshet recall --user ${user.userId} -k 10`),
  ]
}

function topOf(
  user: NonNullable<ItemMap['user']>,
  point: (at: MapPoint | null) => void,
): HTMLElement {
  return h(
    'section',
    { 'aria-labelledby': 'nearest' },
    h(
      'h2',
      { id: 'nearest' },
      'Nearest to ',
      h('a', { href: hrefOf('user', { id: user.userId }) }, user.userId),
    ),
    !user.hasRow &&
      h(
        'p',
        { class: 'quiet' },
        'Nothing is learned about this user yet: this is the default row.',
      ),
    h(
      'ol',
      { class: 'ranked' },
      ...user.top.map((item) =>
        h(
          'li',
          {},
          h(
            'button',
            {
              type: 'button',
              class: 'plain',
              id: `top-${item.itemId}`,
              title: `${item.itemId}, ${item.category}`,
              onfocus: () => point(item),
              onblur: () => point(null),
              onmouseenter: () => point(item),
              onmouseleave: () => point(null),
            },
            nameOf(item),
          ),
          h('span', { class: 'score' }, item.score.toFixed(3)),
        ),
      ),
    ),
  )
}

function nameOf({ itemId, title }: MapPoint): string {
  return title === '' ? itemId : title
}

/** The most frequent ones have a colour of their own. */
function categoriesOf(points: readonly MapPoint[]): string[] {
  const counts = new Map<string, number>()
  for (const { category } of points) counts.set(category, (counts.get(category) ?? 0) + 1)
  return [...counts]
    .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
    .slice(0, categoriesMax)
    .map(([category]) => category)
}

const directions: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
}

/** The items as dots, the user as a diamond, and a ring around what is pointed at. */
class Plot {
  readonly element: HTMLElement
  readonly #label = h('output', { class: 'readout' }, hint)
  readonly #pointer = svg('circle', { r: 9, class: 'pointer', visibility: 'hidden' })
  readonly #items: readonly MapPoint[]
  readonly #x: (point: Place) => number
  readonly #y: (point: Place) => number
  #at: Place

  constructor({ points, user }: ItemMap, hueOf: (category: string) => string) {
    const top = user?.top ?? []
    const all: readonly Place[] = [...points, ...top, ...(user === null ? [] : [user])]
    const across = scaleOf(all.map(({ x }) => x))
    const down = scaleOf(all.map(({ y }) => -y))
    this.#x = ({ x }) => across(x)
    this.#y = ({ y }) => down(-y)
    this.#items = [...points, ...top]
    this.#at = user ?? { x: 0, y: 0 }
    const canvas = svg(
      'svg',
      { viewBox: `0 0 ${view} ${view}`, 'aria-hidden': 'true' },
      ...points.map((one) => this.#dot(one, 2.6, hueOf(one.category))),
      ...(user === null ? [] : this.#rays(user)),
      ...top.map((one) => this.#dot(one, 5.5, `near ${hueOf(one.category)}`)),
      user !== null && this.#diamond(user),
      this.#pointer,
    )
    const label = 'Map of the items; arrow keys move from one to the next'
    const frame = h(
      'div',
      { class: 'sky', tabindex: 0, role: 'group', 'aria-label': label },
      canvas,
    )
    this.element = h('div', {}, frame, this.#label)
    this.#listen(frame)
  }

  /** Shows where an item is; null: none. */
  point(at: MapPoint | null): void {
    this.#pointer.setAttribute('visibility', at === null ? 'hidden' : 'visible')
    if (at === null) return
    this.#at = at
    this.#pointer.setAttribute('cx', String(this.#x(at)))
    this.#pointer.setAttribute('cy', String(this.#y(at)))
    const { category, itemId } = at
    this.#label.textContent = [nameOf(at), category, itemId]
      .filter((text) => text !== '')
      .join(' · ')
  }

  #listen(frame: HTMLElement): void {
    frame.addEventListener('pointermove', ({ clientX, clientY }) => {
      const { left, top, width } = frame.getBoundingClientRect()
      const x = ((clientX - left) * view) / width
      const y = ((clientY - top) * view) / width
      this.point(nearest(this.#items, (one) => Math.hypot(this.#x(one) - x, this.#y(one) - y)))
    })
    frame.addEventListener('keydown', (event) => {
      const direction = directions[event.key]
      if (direction === undefined) return
      event.preventDefault()
      const x = this.#x(this.#at)
      const y = this.#y(this.#at)
      const next = nearest(this.#items, (one) =>
        effort(this.#x(one) - x, this.#y(one) - y, direction),
      )
      if (next !== null) this.point(next)
    })
  }

  #dot(at: Place, r: number, kind: string): SVGElement {
    return svg('circle', {
      cx: this.#x(at).toFixed(1),
      cy: this.#y(at).toFixed(1),
      r,
      class: kind,
    })
  }

  #rays(user: NonNullable<ItemMap['user']>): SVGElement[] {
    const from = { x1: this.#x(user), y1: this.#y(user), class: 'ray' }
    return user.top.map((one) => svg('line', { ...from, x2: this.#x(one), y2: this.#y(one) }))
  }

  #diamond(at: Place): SVGElement {
    const d = `M${this.#x(at)} ${this.#y(at) - 11}l10 11-10 11-10-11z`
    return svg('path', { d, class: 'here' })
  }
}

/** How far it is in a direction; what lies aside counts more, what lies behind not at all. */
function effort(dx: number, dy: number, [right, down]: readonly number[]): number {
  const ahead = dx * right! + dy * down!
  const aside = Math.abs(dx * down!) + Math.abs(dy * right!)
  return ahead < 0.5 ? Infinity : ahead + 3 * aside
}

function nearest(
  points: readonly MapPoint[],
  distance: (point: MapPoint) => number,
): MapPoint | null {
  let best: MapPoint | null = null
  let least = Infinity
  for (const one of points) {
    const away = distance(one)
    if (away < least) [best, least] = [one, away]
  }
  return best
}

function scaleOf(values: readonly number[]): (value: number) => number {
  const low = values.reduce((least, value) => Math.min(least, value), Infinity)
  const high = values.reduce((most, value) => Math.max(most, value), -Infinity)
  const span = high - low || 1
  return (value) => padding + ((value - low) / span) * (view - 2 * padding)
}
