/** Elements from code. What comes from data goes in as text, so it never becomes markup. */

export type Child = Node | string | number | null | false
type Listener = (event: Event) => void
type Value = string | number | boolean | null | Listener

const svgSpace = 'http://www.w3.org/2000/svg'

/** A property that begins with `on` is a listener; true is an attribute without a value; false and null are none. */
export function h<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  properties: Readonly<Record<string, Value>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Name] {
  return fill(document.createElement(name), properties, children)
}

export function svg<Name extends keyof SVGElementTagNameMap>(
  name: Name,
  properties: Readonly<Record<string, Value>> = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[Name] {
  return fill(document.createElementNS(svgSpace, name), properties, children)
}

function fill<E extends Element>(
  element: E,
  properties: Readonly<Record<string, Value>>,
  children: readonly Child[],
): E {
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value)
    else if (value === true) element.setAttribute(name, '')
    else if (value !== null && value !== false) element.setAttribute(name, String(value))
  }
  element.append(...nodesOf(children))
  return element
}

export function nodesOf(children: readonly Child[]): (Node | string)[] {
  return children.flatMap((child) =>
    child === null || child === false ? [] : [typeof child === 'number' ? String(child) : child],
  )
}

export interface Region<T> {
  readonly element: HTMLElement
  /** Draws again only what has changed; what is open stays open, and the focus where it was. */
  show(data: T): void
}

/** What is to keep its state has an id. */
export function region<T>(element: HTMLElement, draw: (data: T) => readonly Child[]): Region<T> {
  let drawn = ''
  element.append(h('p', { class: 'quiet' }, 'Asking…'))
  return {
    element,
    show: (data) => {
      const text = JSON.stringify(data)
      if (text === drawn) return
      drawn = text
      const open = [...element.querySelectorAll('details[open][id]')].map(({ id }) => id)
      const focused = element.contains(document.activeElement) ? document.activeElement?.id : ''
      element.replaceChildren(...nodesOf(draw(data)))
      for (const id of open) document.getElementById(id)?.setAttribute('open', '')
      if (focused) document.getElementById(focused)?.focus()
    },
  }
}
