import type { OpenPage, Page } from './api-client.ts'
import { deadLettersPage } from './dead-letters.ts'
import { h } from './dom.ts'
import { generationsPage } from './generations.ts'
import { mapPage } from './map.ts'
import { overviewPage } from './overview.ts'
import { userPage } from './user.ts'

const pages: readonly Page[] = [overviewPage, generationsPage, userPage, deadLettersPage, mapPage]

const main = document.getElementById('main')!
const nav = document.getElementById('nav')!
const status = document.getElementById('status')!
let timer: number | undefined
let opened = 0

const links = pages.map(({ name, title }) => h('a', { href: `#/${name}` }, title))
nav.append(...links)

function open(): void {
  const { hash } = location
  // Other fragments, such as that of the skip link, are places on the page.
  if (hash !== '' && !hash.startsWith('#/')) return
  const [name, query = ''] = hash.slice(2).split('?', 2)
  const page = pages.find((one) => one.name === name) ?? overviewPage
  for (const [i, link] of links.entries()) {
    if (pages[i] === page) link.setAttribute('aria-current', 'page')
    else link.removeAttribute('aria-current')
  }
  document.title = `${page.title} · freshet console`
  clearTimeout(timer)
  main.replaceChildren()
  scrollTo(0, 0)
  void keepFresh(page.open(main, new URLSearchParams(query)), ++opened)
}

async function keepFresh(page: OpenPage, turn: number): Promise<void> {
  await refresh(page, turn)
  if (page.everyMs === null || turn !== opened) return
  timer = window.setTimeout(() => void keepFresh(page, turn), page.everyMs)
}

async function refresh(page: OpenPage, turn: number): Promise<void> {
  // Nobody looks.
  if (document.hidden) return
  main.setAttribute('aria-busy', 'true')
  try {
    await page.refresh()
    if (turn === opened) say('', page.everyMs === null ? '' : 'updating')
  } catch (error) {
    if (turn === opened) say('problem', error instanceof Error ? error.message : String(error))
  } finally {
    main.removeAttribute('aria-busy')
  }
}

function say(kind: string, text: string): void {
  if (status.textContent === text) return
  status.className = `status ${kind}`
  status.textContent = text
}

addEventListener('hashchange', open)
document.querySelector('.skip')!.addEventListener('click', (event) => {
  event.preventDefault()
  main.focus()
})
open()
