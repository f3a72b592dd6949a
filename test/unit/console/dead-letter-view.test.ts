import { expect, test } from 'vitest'
import { deadLettersOf, letterOf, remedyOf } from '../../../src/console/dead-letter-view.ts'
import { encodeDeadLetter } from '../../../src/records/codec.ts'
import type { DeadLetter } from '../../../src/records/types.ts'
import type { SourceRecord } from '../../../src/streams/stage.ts'

function recordOf(offset: number, letter: Partial<DeadLetter> = {}): SourceRecord {
  const whole = {
    sourceTopic: 'clicks',
    partition: 2,
    offset: 77,
    code: 'RECORD_INVALID',
    message: 'item_id: found nothing',
    role: 'ingest',
    original: Buffer.from('{"a":1}'),
    originalKey: null,
    ...letter,
  }
  const value = encodeDeadLetter(whole)
  return { topic: 'dead', partition: 0, offset, timestampMs: 1_000 + offset, key: null, value }
}

test('a letter has its place, its reason with the remedy, and its bytes as text and in hex', () => {
  expect(letterOf(recordOf(5, { originalKey: Buffer.from('k') }))).toEqual({
    offset: 5,
    atMs: 1_005,
    code: 'RECORD_INVALID',
    message: 'item_id: found nothing',
    remedy: remedyOf('RECORD_INVALID'),
    role: 'ingest',
    sourceTopic: 'clicks',
    sourcePartition: 2,
    sourceOffset: 77,
    key: 'k',
    bytes: 7,
    text: '{"a":1}',
    hex: '0000  7b 22 61 22 3a 31 7d                             {"a":1}',
    isCut: false,
  })
})

test('what is no text is shown in hex alone, and a long original is cut', () => {
  const binary = letterOf(recordOf(1, { original: Buffer.from([0xc3, 1, 0, 255]) }))
  expect(binary).toMatchObject({
    text: null,
    hex: expect.stringContaining('c3 01 00 ff') as unknown,
  })
  const long = letterOf(recordOf(1, { original: Buffer.alloc(5_000, 'x') }))
  expect(long).toMatchObject({ isCut: true, bytes: 5_000 })
  expect(long?.text).toHaveLength(2_000)
  expect(long?.hex.split('\n')).toHaveLength(16)
})

test('reasons are counted, the newest letter comes first, and what cannot be read is counted too', () => {
  const records = [
    recordOf(0),
    recordOf(1, { code: 'CLICK_LATE' }),
    recordOf(2),
    { ...recordOf(3), value: Buffer.from('junk') },
  ]
  const { reasons, letters, unreadable, looked, total } = deadLettersOf(records, 40, 2, 0)
  expect(reasons.map(({ code, count }) => [code, count])).toEqual([
    ['RECORD_INVALID', 2],
    ['CLICK_LATE', 1],
  ])
  expect(letters.map(({ offset }) => offset)).toEqual([2, 1])
  expect({ unreadable, looked, total }).toEqual({ unreadable: 1, looked: 4, total: 40 })
})
