import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { Command } from 'commander'
import { describe, expect, test } from 'vitest'
import { buildProgram } from '../../../src/cli/program.ts'

const root = path.resolve(import.meta.dirname, '../../..')
const program = buildProgram()

interface Documented {
  readonly file: string
  readonly line: string
  readonly words: readonly string[]
}

function pages(): string[] {
  const below = readdirSync(path.join(root, 'docs'), { recursive: true }).map(String)
  const docs = below.map((file) => path.join('docs', file))
  return ['README.md', path.join('examples', 'pytorch', 'README.md'), ...docs].filter(
    (file) => file.endsWith('.md') && !file.includes('reference'),
  )
}

/** `freshet ...` in code, in a line of its own or within one. */
function documented(): Documented[] {
  return pages().flatMap((file) => {
    const text = readFileSync(path.join(root, file), 'utf8')
    const blocks = [...text.matchAll(/^```(?:sh|bash)?\n(.*?)^```/gms)].map(([, block]) => block!)
    const spans = [...text.matchAll(/`([^`\n]+)`/g)].map(([, span]) => span!)
    const lines = [...blocks.flatMap((block) => block.split('\n')), ...spans]
    return lines.flatMap((line) => {
      const [, rest] =
        /^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:npx )?freshet ((?:[a-z]|-).*)$/.exec(line) ?? []
      if (rest === undefined) return []
      const words = rest
        .replace(/\s+#.*$/, '')
        .split(/\s+(?:\||>|&&|;)/)[0]!
        .split(/\s+/)
      return [{ file, line, words }]
    })
  })
}

function commandOf(words: readonly string[]): { command: Command; rest: readonly string[] } {
  let command: Command = program
  let at = 0
  for (; at < words.length; at++) {
    const found = command.commands.find((each) => each.name() === words[at])
    if (found === undefined) break
    command = found
  }
  return { command, rest: words.slice(at) }
}

describe('what the pages tell to type', () => {
  const all = documented()

  test('is found', () => {
    expect(all.length).toBeGreaterThan(60)
    expect(new Set(all.map(({ words }) => words[0])).size).toBeGreaterThan(20)
  })

  test.each([...new Map(all.map((each) => [`${each.file}: ${each.line}`, each]))])(
    '%s',
    (_, { words }) => {
      const { command, rest } = commandOf(words)
      // What is left begins with an argument of the command, not with a command that there is not.
      if (command === program) expect(rest[0]).toMatch(/^(-|<|…|\.\.\.)/)
      const known = command.options.flatMap(({ short, long }) => [short, long])
      for (const word of rest.filter((each) => /^--?[a-z]/.test(each))) {
        expect([...known, '--help', '--version']).toContain(word.replace(/=.*$/, ''))
      }
    },
  )
})
