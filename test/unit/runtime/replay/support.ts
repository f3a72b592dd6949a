import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { ReplayPosition, ReplaySource } from '../../../../src/runtime/replay/source.ts'
import type { SourceEvent } from '../../../../src/streams/source-event.ts'

export const fixtures = join(import.meta.dirname, '../../../fixtures/replay')

/** A folder with these files, removed after the test. */
export async function folderOf(files: Readonly<Record<string, string | Buffer>>): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'freshet-replay-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  for (const [name, content] of Object.entries(files)) await writeFile(join(dir, name), content)
  return dir
}

export async function eventsOf(
  source: ReplaySource,
  after: ReplayPosition | null = null,
): Promise<SourceEvent[]> {
  const events: SourceEvent[] = []
  for await (const event of source.events(after)) events.push(event)
  return events
}

/** e.g. `impression r1 10`: kind, request or item, seconds. */
export function outline(events: readonly SourceEvent[]): string[] {
  return events.map((event) => {
    const id = event.kind === 'item' ? event.itemId : event.requestId
    return `${event.kind} ${id} ${event.eventTimeMs / 1_000}`
  })
}

export function positionAfter(
  source: ReplaySource,
  events: readonly SourceEvent[],
): ReplayPosition {
  const count = (kind: SourceEvent['kind']) => events.filter((event) => event.kind === kind).length
  return {
    source: source.identity,
    impressions: count('impression'),
    clicks: count('click'),
    items: count('item'),
    lastEventTimeMs: events.at(-1)?.eventTimeMs ?? 0,
  }
}
