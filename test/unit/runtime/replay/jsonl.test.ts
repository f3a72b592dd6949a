import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openJsonl } from '../../../../src/runtime/replay/jsonl.ts'
import { openFiles } from '../../../../src/runtime/replay/open-files.ts'
import { eventsOf, fixtures, folderOf, outline, positionAfter } from './support.ts'

const startSeconds = 1_767_225_600

test('a folder of three files is merged by event time, disorder within a file put right', async () => {
  const source = await openFiles(join(fixtures, 'jsonl'), 1)
  const events = await eventsOf(source)
  expect(outline(events)).toEqual([
    `item tea ${startSeconds}`,
    `item cake ${startSeconds}`,
    `impression r1 ${startSeconds + 10}`,
    `click r1 ${startSeconds + 12}`,
    `impression r2 ${startSeconds + 20}`,
    `click r2 ${startSeconds + 25}`,
    `item tea ${startSeconds + 60}`,
  ])
  expect(events[1]).toMatchObject({ item: { title: 'Plum cake' } })
  expect(events[2]).toMatchObject({ userId: '7', items: ['tea', 'cake'], scenario: 'home' })
  expect(events[4]).toMatchObject({ eliminated: ['ice'] })
  expect(events[5]).toMatchObject({ action: 'purchase', weight: 2 })
  expect(events[6]).toMatchObject({ item: null })
  expect(source.shareDone()).toBe(1)
})

test('one file may hold all three kinds', async () => {
  const events = await eventsOf(await openFiles(join(fixtures, 'mixed.jsonl'), 1))
  expect(events.map((event) => event.kind)).toEqual(['item', 'impression', 'click'])
})

test('a position goes on exactly behind it', async () => {
  const source = await openFiles(join(fixtures, 'jsonl'), 1)
  const all = await eventsOf(source)
  for (let count = 0; count <= all.length; count++) {
    const rest = await eventsOf(source, positionAfter(source, all.slice(0, count)))
    expect(rest).toEqual(all.slice(count))
  }
})

const page = '{"record":"impression","request_id":"r","user_id":"u","event_time":5,"items":["a"]}'

test.each([
  [
    'no JSON',
    `${page}\n{"record":`,
    'events.jsonl:2: found "{\\"record\\":", expected one JSON object',
  ],
  ['an array', '[1]', 'events.jsonl:1: found an array of 1, expected one JSON object'],
  [
    'no kind',
    '{}',
    'events.jsonl:1: record: found nothing, expected "impression", "click" or "item"',
  ],
  [
    'a missing field',
    `${page}\n\n${page.replace('"user_id":"u",', '')}`,
    'events.jsonl:3: user_id: found nothing',
  ],
  ['a time in words', page.replace('5', '"noon"'), 'events.jsonl:1: event_time: found "noon"'],
  [
    'an item without time',
    '{"record":"item","item_id":"a"}',
    'events.jsonl:1: created_at: found nothing',
  ],
  [
    'a withdrawal without time',
    '{"record":"item","item_id":"a","withdrawn":true}',
    'events.jsonl:1: event_time: found nothing',
  ],
])('a broken line is refused with its number: %s', async (_, content, message) => {
  const dir = await folderOf({ 'events.jsonl': content })
  const source = await openFiles(join(dir, 'events.jsonl'), 1)
  await expect(eventsOf(source)).rejects.toMatchObject({
    code: 'FILE_INVALID',
    message: expect.stringContaining(message) as string,
  })
})

test('disorder beyond what is kept in memory is refused, disorder within is put right', async () => {
  const click = (second: number) =>
    `{"request_id":"r${second}","user_id":"u","item_id":"a","event_time":${second * 1_000}}`
  const dir = await folderOf({ 'clicks.jsonl': [2, 3, 4, 1].map(click).join('\n') })
  const file = { path: join(dir, 'clicks.jsonl'), kind: 'click' } as const
  const events = await eventsOf(await openJsonl([file], 3))
  expect(outline(events)).toEqual(['click r1 1', 'click r2 2', 'click r3 3', 'click r4 4'])
  await expect(eventsOf(await openJsonl([file], 2))).rejects.toMatchObject({
    code: 'FILE_INVALID',
    message: `${file.path}:4: found an event 1000 ms older than one over 2 events before, expected lines sorted by event_time`,
  })
})

test('lines longer than a block of the file, and CRLF, are read whole', async () => {
  const title = 'x'.repeat(250)
  const item = (id: number) =>
    `{"record":"item","item_id":"${id}","title":"${title}","created_at":${id},"note":"${'é'.repeat(200_000)}"}`
  const content = Array.from({ length: 5 }, (_, id) => item(id)).join('\r\n')
  const dir = await folderOf({ 'events.jsonl': content })
  const events = await eventsOf(await openFiles(join(dir, 'events.jsonl'), 1))
  expect(events.map((event) => event.kind === 'item' && event.item?.title)).toEqual(
    Array.from({ length: 5 }, () => title),
  )
})

test('a line without end is refused before it fills memory', async () => {
  const dir = await folderOf({ 'events.jsonl': `{"record":"${'x'.repeat(5_000_000)}` })
  const source = await openFiles(join(dir, 'events.jsonl'), 1)
  await expect(eventsOf(source)).rejects.toMatchObject({
    code: 'FILE_INVALID',
    message: expect.stringContaining(
      'events.jsonl:1: found a line of over 4000000 bytes',
    ) as string,
  })
})

test('a path that is not there or holds no events is refused with what --events takes', async () => {
  const dir = await folderOf({ 'notes.txt': 'hello' })
  await expect(openFiles(join(dir, 'gone'), 1)).rejects.toMatchObject({ code: 'FILE_MISSING' })
  for (const path of [dir, join(dir, 'notes.txt')]) {
    await expect(openFiles(path, 1)).rejects.toMatchObject({
      code: 'FILE_INVALID',
      message: expect.stringContaining('--events takes') as string,
    })
  }
})
