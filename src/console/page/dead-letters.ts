import type { DeadLetters, DeadLetterView } from '../api.ts'
import { ask, type Page } from './api-client.ts'
import { h, region, type Child } from './dom.ts'
import { command } from './figure.ts'
import { count, moment } from './format.ts'

export const deadLettersPage: Page = {
  name: 'dead-letters',
  title: 'Dead letters',
  open: (main) => {
    let chosen: string | null = null
    let newest: DeadLetters | null = null
    const choose = (code: string | null): void => {
      chosen = chosen === code ? null : code
      if (newest !== null) show(newest)
    }
    const body = region<{ letters: DeadLetters; chosen: string | null }>(h('div', {}), (data) =>
      bodyOf(data.letters, data.chosen, choose),
    )
    const show = (letters: DeadLetters): void => {
      newest = letters
      body.show({ letters: { ...letters, atMs: 0 }, chosen })
    }
    main.append(
      h('h1', {}, 'Dead letters'),
      h(
        'p',
        { class: 'intro' },
        'What freshet refused, with its bytes, its place and a reason. Nothing is dropped silently.',
      ),
      body.element,
      command('freshet dead-letters --last 100'),
    )
    return { refresh: async () => show(await ask<DeadLetters>('dead-letters')), everyMs: 3_000 }
  },
}

function bodyOf(
  all: DeadLetters,
  chosen: string | null,
  choose: (code: string | null) => void,
): Child[] {
  const { total, looked, reasons, letters, unreadable } = all
  if (total === 0)
    return [h('p', { class: 'quiet' }, 'There is none: everything that came in could be used.')]
  const most = Math.max(...reasons.map((reason) => reason.count))
  const shown = letters.filter(({ code }) => chosen === null || code === chosen)
  return [
    h(
      'p',
      {},
      `${count(total)} in the topic`,
      looked < total && `; the newest ${count(looked)} are looked at`,
      unreadable > 0 && `; ${count(unreadable)} cannot be read`,
    ),
    h(
      'ul',
      { class: 'reasons' },
      ...reasons.map(({ code, count: letterCount, remedy }) => {
        const meter = h('span', { class: 'meter' }, h('span', {}))
        ;(meter.firstChild as HTMLElement).style.width = `${(letterCount / most) * 100}%`
        return h(
          'li',
          {},
          h(
            'button',
            {
              type: 'button',
              id: `reason-${code}`,
              'aria-pressed': String(code === chosen),
              onclick: () => choose(code),
            },
            h('span', {}, code),
            h('b', {}, count(letterCount)),
          ),
          meter,
          h('p', { class: 'quiet' }, remedy),
        )
      }),
    ),
    h('h2', {}, chosen === null ? 'The newest' : chosen),
    h('ol', { class: 'letters' }, ...shown.map(letterOf)),
  ]
}

function letterOf(letter: DeadLetterView): HTMLElement {
  const {
    offset,
    atMs,
    code,
    message,
    remedy,
    role,
    sourceTopic,
    sourcePartition,
    sourceOffset,
    key,
    text,
    hex,
    isCut,
  } = letter
  const place = `${sourceTopic}, partition ${sourcePartition}, offset ${sourceOffset}`
  return h(
    'li',
    {},
    h(
      'details',
      { id: `letter-${offset}` },
      h(
        'summary',
        {},
        h('span', { class: 'code' }, code),
        ' ',
        h('time', {}, moment(atMs)),
        h('span', { class: 'message' }, message),
      ),
      h(
        'dl',
        { class: 'facts' },
        ...Object.entries({
          from: place,
          'refused by': role,
          key: key ?? 'none',
          size: `${count(letter.bytes)} bytes`,
        }).map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))),
      ),
      h('p', {}, h('b', {}, 'Remedy. '), remedy),
      text !== null && h('pre', { tabindex: 0, 'aria-label': 'the original as text' }, text),
      h(
        'details',
        { id: `hex-${offset}`, open: text === null },
        h('summary', {}, 'bytes'),
        h('pre', { tabindex: 0, 'aria-label': 'the original as bytes' }, hex),
      ),
      isCut && h('p', { class: 'quiet' }, 'The original is longer than what is shown.'),
    ),
  )
}
