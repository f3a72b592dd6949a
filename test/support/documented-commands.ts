import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { Command } from 'commander'
import { buildProgram } from '../../src/cli/program.ts'

export const root = path.resolve(import.meta.dirname, '../..')

export interface DocumentedCommand {
  readonly file: string
  readonly line: number
  /** As a shell takes it, without `npx` and without a comment at its end; may go over several lines. */
  readonly text: string
}

/** A fence of commands: they are typed one after the other, in one folder. */
export interface Fence {
  readonly file: string
  readonly commands: readonly DocumentedCommand[]
  /** What the page says is printed: the fence of text that follows, if one does. */
  readonly sample: string
}

const pages: readonly string[] = [
  'README.md',
  ...readdirSync(path.join(root, 'docs'), { recursive: true }).map(
    (file) => `docs/${String(file)}`,
  ),
  ...readdirSync(path.join(root, 'examples'), { recursive: true })
    .map(String)
    .filter((file) => file.endsWith('README.md'))
    .map((file) => `examples/${file}`),
].filter((file) => file.endsWith('.md') && !file.startsWith('docs/reference/'))

const tools = 'freshet|npm|curl|docker|promtool|redis-cli|node|python3'
/** A name alone (`freshet status`, `npm test`) is a mention; with arguments, or with `npx`, it is there to be typed. */
const isCommand = new RegExp(`^(?:[A-Z_]+=\\S+ )*(?:npx freshet |(?:${tools}) \\S+ )\\S`)

export function fences(): Fence[] {
  return pages.flatMap(fencesOf)
}

/** Commands within a line of text or in a table. */
export function inlineCommands(): DocumentedCommand[] {
  return spans().flatMap((span) =>
    isCommand.test(span.text) ? [{ ...span, text: plain(span.text) }] : [],
  )
}

/** `freshet status`, where a page only mentions it. */
export function mentions(): DocumentedCommand[] {
  return spans().filter(({ text }) => /^freshet [a-z-]+$/.test(text))
}

/** Fences that are not marked as commands and look as if they were: nobody would run them. */
export function unmarked(): string[] {
  return pages.flatMap((file) =>
    blocksOf(file)
      .filter(({ kind }) => kind !== 'sh' && kind !== 'bash')
      .flatMap(({ line, lines }) => lines.map((text, at) => ({ text, line: line + at })))
      .filter(({ text }) =>
        /^(?:\$ |npx |npm (?:start|run|test)|curl |node |freshet [a-z]+ -)/.test(text),
      )
      .map(({ text, line }) => `${file}:${line}: ${text}`),
  )
}

interface Block {
  readonly kind: string
  /** Of its first line within the fence. */
  readonly line: number
  readonly lines: readonly string[]
}

function blocksOf(file: string): Block[] {
  const blocks: Block[] = []
  let open: { kind: string; line: number; lines: string[] } | null = null
  for (const [at, text] of readFileSync(path.join(root, file), 'utf8').split('\n').entries()) {
    const [, kind] = /^ *```(\w*)/.exec(text) ?? []
    if (kind === undefined) open?.lines.push(text)
    else if (open === null) open = { kind, line: at + 2, lines: [] }
    else {
      blocks.push(open)
      open = null
    }
  }
  return blocks
}

function fencesOf(file: string): Fence[] {
  const blocks = blocksOf(file)
  return blocks.flatMap((block, at) => {
    if (block.kind !== 'sh' && block.kind !== 'bash') return []
    const next = blocks[at + 1]
    const sample = next?.kind === 'text' ? next.lines.join('\n') : ''
    return [{ file, commands: commandsOf(file, block), sample }]
  })
}

/** A command goes on where a line ends in a backslash or within quotes. */
function commandsOf(file: string, { line, lines }: Block): DocumentedCommand[] {
  const commands: DocumentedCommand[] = []
  let begun: { line: number; text: string } | null = null
  for (const [at, next] of lines.entries()) {
    begun ??= { line: line + at, text: '' }
    begun.text += begun.text === '' ? next : ['', next].join('\n')
    const isOpen = next.endsWith('\\') || begun.text.split("'").length % 2 === 0
    if (isOpen) continue
    const text = plain(begun.text)
    if (text !== '') commands.push({ file, line: begun.line, text })
    begun = null
  }
  return commands
}

function spans(): DocumentedCommand[] {
  return pages.flatMap((file) => {
    const inFences = new Set(
      blocksOf(file).flatMap(({ line, lines }) => lines.map((_, at) => line + at)),
    )
    const lines = readFileSync(path.join(root, file), 'utf8').split('\n')
    return lines.flatMap((text, at) =>
      inFences.has(at + 1)
        ? []
        : Array.from(text.matchAll(/`([^`]+)`/g), ([, span]) => ({
            ...{ file, line: at + 1, text: span! },
          })),
    )
  })
}

function plain(text: string): string {
  return text
    .replace(/ +# [^\n]*$/, '')
    .replace(/^((?:[A-Z_]+=\S+ )*)npx (?=freshet )/, '$1')
    .trim()
}

const program = buildProgram()

/** What is wrong with a command of freshet, as the parser of its options sees it; null: nothing. */
export function problemOf(text: string): string | null {
  const words = text.replace(/^.*?\bfreshet /s, '').split(/\s+/)
  let command: Command = program
  while (words.length > 0) {
    const found = command.commands.find((each) => each.name() === words[0])
    if (found === undefined) break
    command = found
    words.shift()
  }
  if (command === program) return `there is no command ${words[0] ?? ''}`
  const known = command.options.flatMap(({ short, long }) => [short, long])
  const unknown = words.find(
    (word) => /^--?[a-z]/.test(word) && !known.includes(word.replace(/=.*/, '')),
  )
  return unknown === undefined ? null : `${command.name()} has no option ${unknown}`
}
