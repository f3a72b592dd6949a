import { definitions, type Definition, type DefinitionName } from './definitions.ts'
import { h } from './dom.ts'

export interface Figure {
  readonly element: HTMLElement
  set(value: string, detail?: string): void
}

let made = 0

/** A number with its name; the name opens what it means. */
export function figure(name: DefinitionName): Figure {
  const definition = definitions[name]
  const value = h('span', { class: 'value', title: definition.meaning }, '–')
  const detail = h('span', { class: 'detail' })
  const { button, note } = explained(definition)
  const element = h('div', { class: 'figure' }, button, h('p', {}, value, ' ', detail), note)
  return {
    element,
    set: (text, more = '') => {
      value.textContent = text
      detail.textContent = more
    },
  }
}

/** A name that opens its definition, and the note that it opens. */
export function explained({ label, meaning, command }: Definition): {
  button: HTMLElement
  note: HTMLElement
} {
  const id = `note-${made++}`
  const note = h(
    'div',
    { class: 'note', id, hidden: true },
    h('p', {}, meaning),
    h('p', {}, 'In the terminal: ', h('code', {}, command)),
  )
  const toggle = (): void => {
    note.hidden = !note.hidden
    button.setAttribute('aria-expanded', String(!note.hidden))
  }
  const button = h(
    'button',
    {
      class: 'term',
      type: 'button',
      title: meaning,
      'aria-expanded': 'false',
      'aria-controls': id,
      onclick: toggle,
    },
    label,
  )
  return { button, note }
}

/** For numbers in tables: the name, with the definition as its title. */
export function term(label: string, meaning: string): HTMLElement {
  return h('abbr', { title: meaning, tabindex: 0 }, label)
}

export function command(text: string): HTMLElement {
  return h('p', { class: 'command' }, 'In the terminal: ', h('code', {}, text))
}
