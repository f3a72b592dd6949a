import { expect, test } from 'vitest'
import { decodeControlDocument, encodeControlDocument } from '../../../src/records/codec.ts'
import { firstDocument } from '../../../src/streams/controller.ts'

test('the first document makes its generation live, and survives its encoding', () => {
  const document = firstDocument('g1', 5)
  expect(document).toMatchObject({ epoch: 1, live: 'g1', states: { g1: 'live' }, kept: ['g1'] })
  expect(decodeControlDocument(encodeControlDocument(document))).toEqual(document)
})
