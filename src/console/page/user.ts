import type { ClickView, Passport, PassportStep, RowView, TitledItem, UserView } from '../api.ts'
import { ask, hrefOf, type Page } from './api-client.ts'
import { h, region, type Child } from './dom.ts'
import { command, term } from './figure.ts'
import { ago, clock, delay, moment } from './format.ts'

export const userPage: Page = {
  name: 'user',
  title: 'User',
  open: (main, query) => {
    const id = query.get('id') ?? ''
    const request = query.get('request') ?? ''
    const item = query.get('item') ?? ''
    const user = region<UserView>(h('div', {}), userOf)
    const passport = region<Passport>(h('div', {}), passportOf)
    main.append(h('h1', {}, 'User'), userForm('user', id, request))
    if (id === '') {
      main.append(
        h(
          'p',
          { class: 'intro' },
          'What freshet knows of a user now: how fresh the row is, what recall answers in each generation, and the way of a single click into the model.',
        ),
      )
      return { refresh: async () => undefined, everyMs: null }
    }
    if (request !== '') main.append(passport.element)
    main.append(user.element)
    const refreshPassport = async (): Promise<void> => {
      if (request !== '')
        passport.show(await ask<Passport>('passport', { user: id, request, item }))
    }
    return {
      refresh: async () => {
        const [view] = await Promise.all([ask<UserView>('user', { id }), refreshPassport()])
        user.show(view)
      },
      everyMs: 5_000,
    }
  },
}

/** A form that leads to the page of a user. */
export function userForm(page: string, id: string, request: string | null): HTMLElement {
  const user = h('input', {
    id: 'user-id',
    name: 'id',
    value: id,
    autocomplete: 'off',
    spellcheck: 'false',
    placeholder: '123',
  })
  const requestId = h('input', {
    id: 'request-id',
    name: 'request',
    value: request ?? '',
    autocomplete: 'off',
    spellcheck: 'false',
    placeholder: 'any',
  })
  const submit = (event: Event): void => {
    event.preventDefault()
    const parameters: Record<string, string> = {
      [page === 'user' ? 'id' : 'user']: user.value.trim(),
    }
    if (requestId.value.trim() !== '') parameters['request'] = requestId.value.trim()
    location.hash = hrefOf(page, parameters)
  }
  return h(
    'form',
    { class: 'ask', onsubmit: submit },
    h('label', { for: 'user-id' }, 'User id'),
    user,
    request !== null && h('label', { for: 'request-id' }, 'Request id of a click'),
    request !== null && requestId,
    h('button', { type: 'submit' }, 'Look'),
  )
}

function userOf(view: UserView): Child[] {
  const { userId, partition, rows, recentItems, clicks, lastRequest, scanned, atMs } = view
  return [
    h(
      'section',
      { 'aria-labelledby': 'fresh' },
      h('h2', { id: 'fresh' }, 'How fresh'),
      freshness(view),
      command(`freshet recall --user ${userId} -k 10`),
    ),
    h(
      'section',
      { 'aria-labelledby': 'top' },
      h('h2', { id: 'top' }, 'What recall answers'),
      h('div', { class: 'lists' }, replyList(view), ...rows.map((row) => rowList(row, atMs))),
      h(
        'p',
        { class: 'quiet' },
        'Pods answer with the live generation only. The other lists are searched here, exactly, with the row and the overrides of each generation, without request features; clicked items are left out in all of them.',
      ),
    ),
    h(
      'div',
      { class: 'columns' },
      h(
        'section',
        { 'aria-labelledby': 'clicks' },
        h('h2', { id: 'clicks' }, 'Last clicks'),
        clickList(userId, clicks, atMs),
        h(
          'p',
          { class: 'quiet' },
          `Examples among ${scanned}. Choose one to see its way into the model.`,
        ),
        command('freshet examples --last 1000'),
      ),
      h(
        'section',
        { 'aria-labelledby': 'request' },
        h('h2', { id: 'request' }, 'Last request'),
        requestOf(lastRequest, scanned, atMs),
        h('h3', {}, 'Recent items in the row'),
        recentItems.length === 0
          ? h('p', { class: 'quiet' }, 'none')
          : h(
              'ul',
              { class: 'chips' },
              ...recentItems.slice(0, 20).map((one) => h('li', {}, nameOf(one))),
            ),
        h('p', { class: 'quiet' }, `User ${userId} belongs to partition ${partition}.`),
      ),
    ),
  ]
}

function nameOf({ itemId, title }: TitledItem): string {
  return title === '' ? itemId : title
}

function freshness({ reply, replyProblem, rows, atMs }: UserView): HTMLElement {
  const live = rows.find(({ standing }) => standing === 'live')
  const fact = (name: string, meaning: string, value: string, detail = ''): HTMLElement =>
    h(
      'div',
      { class: 'figure' },
      term(name, meaning),
      h('p', {}, h('span', { class: 'value' }, value), ' ', h('span', { class: 'detail' }, detail)),
    )
  const through = live?.learnedThroughMs ?? reply?.learnedThroughMs ?? null
  const newest = live?.userEventTimeMs ?? null
  return h(
    'div',
    { class: 'figures' },
    fact(
      'status',
      'Of a recall that was asked for just now. Only OK means that the row of the user was used.',
      reply?.status ?? 'no reply',
      reply?.message || (replyProblem ?? ''),
    ),
    fact(
      'row',
      'userEventTime: the newest click that the row of the user has learned from.',
      newest === null ? 'none' : ago(newest, atMs),
      newest === null ? 'nothing learned about this user yet' : moment(newest),
    ),
    fact(
      'learned through',
      'learnedThrough: event time through which the clicks of the partition of the user have been learned.',
      ago(through, atMs),
      through === null ? '' : moment(through),
    ),
    fact(
      'latency',
      'Of that recall, from sending the request to having the reply.',
      delay(reply?.latencyMs ?? null),
      reply === null ? '' : `override set ${reply.overrideSequence}`,
    ),
  )
}

type Scored = readonly (TitledItem & { readonly score: number })[]

function scoredList(items: Scored): HTMLElement {
  return h(
    'ol',
    { class: 'ranked' },
    ...items.map((one) =>
      h(
        'li',
        { title: one.itemId },
        h('span', {}, nameOf(one)),
        h('span', { class: 'score' }, one.score.toFixed(3)),
      ),
    ),
  )
}

function replyList({ reply, replyProblem }: UserView): HTMLElement {
  return h(
    'article',
    {},
    h('h3', {}, 'Reply of a pod'),
    reply === null
      ? h('p', { class: 'alert' }, replyProblem ?? 'no reply')
      : h('p', { class: 'quiet' }, reply.generation || 'no generation'),
    reply !== null && scoredList(reply.items),
  )
}

function rowList(
  { standing, generation, top, problem, hasRow, isLoaded, userEventTimeMs }: RowView,
  atMs: number,
): HTMLElement {
  const row = !isLoaded
    ? 'its rows are not all in the online store'
    : hasRow
      ? `row ${ago(userEventTimeMs, atMs)}`
      : 'no row: the default one'
  return h(
    'article',
    {},
    h('h3', {}, h('span', { class: `state ${standing}` }, standing), ' searched here'),
    h('p', { class: 'quiet' }, `${generation}; ${row}`),
    problem !== null && h('p', { class: 'alert' }, problem),
    top !== null && scoredList(top),
  )
}

function clickList(userId: string, clicks: readonly ClickView[], atMs: number): HTMLElement {
  if (clicks.length === 0) return h('p', { class: 'quiet' }, 'none')
  return h(
    'ul',
    { class: 'clicks' },
    ...clicks.map((click) => {
      const { requestId, itemId, eventTimeMs } = click
      const href = hrefOf('user', { id: userId, request: requestId, item: itemId })
      return h(
        'li',
        {},
        h('a', { href, id: `click-${requestId}-${itemId}` }, nameOf(click)),
        h('span', { class: 'quiet', title: moment(eventTimeMs) }, ago(eventTimeMs, atMs)),
      )
    }),
  )
}

function requestOf(request: UserView['lastRequest'], scanned: string, atMs: number): HTMLElement {
  if (request === null) return h('p', { class: 'quiet' }, `none among ${scanned}`)
  const { requestId, eventTimeMs, scenario, features } = request
  return h(
    'div',
    {},
    h(
      'p',
      {},
      h('code', {}, requestId),
      ` ${ago(eventTimeMs, atMs)}${scenario === '' ? '' : `, scenario ${scenario}`}`,
    ),
    features.length === 0
      ? h('p', { class: 'quiet' }, 'without features')
      : h(
          'dl',
          { class: 'facts' },
          ...features.map(({ name, value }) => h('div', {}, h('dt', {}, name), h('dd', {}, value))),
        ),
  )
}

function passportOf({ requestId, itemId, title, steps }: Passport): Child[] {
  return [
    h(
      'section',
      { class: 'passport', 'aria-labelledby': 'passport' },
      h('h2', { id: 'passport' }, 'Passport of a click'),
      h(
        'p',
        {},
        h('b', {}, title === '' ? (itemId ?? 'item not known') : title),
        ' in request ',
        h('code', {}, requestId),
      ),
      h('ol', { class: 'stamps' }, ...steps.map(stampOf)),
    ),
  ]
}

const dayMs = 86_400_000
const outcomes = { done: 'done', waiting: 'not yet', unknown: 'not known' } as const

function stampOf({
  name,
  outcome,
  atMs,
  sinceArrivalMs,
  text,
  command: line,
}: PassportStep): HTMLElement {
  return h(
    'li',
    { class: outcome, title: `In the terminal: ${line}` },
    h('b', {}, name),
    h(
      'span',
      { class: 'when' },
      outcome === 'done' ? timeOf(atMs) : outcomes[outcome],
      sinceArrivalMs !== null && sinceArrivalMs > 0 && h('em', {}, ` +${delay(sinceArrivalMs)}`),
    ),
    h('small', {}, text),
  )
}

/** The event time of a replay is of another day. */
function timeOf(atMs: number | null): string {
  if (atMs === null) return 'done'
  return Date.now() - atMs < dayMs ? clock(atMs, true) : moment(atMs)
}
