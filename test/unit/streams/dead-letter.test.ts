import { expect, test } from 'vitest'
import { decodeDeadLetter } from '../../../src/records/codec.ts'
import { toDeadLetter } from '../../../src/streams/dead-letter.ts'

const record = {
  ...{ topic: 'shop.clicks', partition: 3, offset: 2 ** 40, timestampMs: 77 },
  ...{ key: Buffer.from('k'), value: Buffer.from([0, 255, 10]) },
}

test('a dead letter has everything needed to send its record again', () => {
  const letter = toDeadLetter(record, 'RECORD_INVALID', 'no user', 'ingest', 'f.dead-letters.v1')
  expect(letter).toMatchObject({ topic: 'f.dead-letters.v1', key: 'shop.clicks', timestampMs: 77 })
  expect(decodeDeadLetter(letter.value!)).toEqual({
    ...{ sourceTopic: 'shop.clicks', partition: 3, offset: 2 ** 40 },
    ...{ code: 'RECORD_INVALID', message: 'no user', role: 'ingest' },
    original: record.value,
    originalKey: record.key,
  })
})

test('a record without key and value is told apart by its key alone', () => {
  const letter = toDeadLetter({ ...record, key: null, value: null }, 'RECORD_INVALID', '', 'x', 't')
  expect(decodeDeadLetter(letter.value!)).toMatchObject({
    original: Buffer.alloc(0),
    originalKey: null,
  })
})
