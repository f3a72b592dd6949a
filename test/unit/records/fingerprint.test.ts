import avsc from 'avsc'
import { expect, test } from 'vitest'
import {
  canonicalForm,
  crc64Avro,
  fingerprintOf,
  singleObjectHeader,
} from '../../../src/records/fingerprint.ts'
import type { AvroSchema } from '../../../src/records/schema-parts.ts'
import { olderSchemas } from '../../../src/records/schema-history.ts'
import { topicSchemas } from '../../../src/records/schemas.ts'

test('CRC-64-AVRO gives the fingerprints of the Avro project', () => {
  // share/test/data/schema-tests.txt of apache/avro.
  const vectors: [string, bigint][] = [
    ['"null"', 7195948357588979594n],
    ['"boolean"', -6970731678124411036n],
    ['"int"', 8247732601305521295n],
    ['"long"', -3434872931120570953n],
    ['"float"', 5583340709985441680n],
    ['"double"', -8181574048448539266n],
    ['"bytes"', 5746618253357095269n],
    ['"string"', -8142146995180207161n],
  ]
  for (const [text, fingerprint] of vectors) {
    expect(BigInt.asIntN(64, crc64Avro(text))).toBe(fingerprint)
  }
})

test('the header is C3 01 and the fingerprint, little-endian', () => {
  expect(singleObjectHeader('int').toString('hex')).toBe('c3018f5c393f1ad57572')
  expect(fingerprintOf('int')).toBe('7275d51a3f395c8f')
})

test('the canonical form is the one that avsc gives', () => {
  const schemas: AvroSchema[] = [
    ...Object.values(topicSchemas),
    ...Object.values(olderSchemas).flat(),
  ]
  for (const schema of schemas) {
    const type = avsc.Type.forSchema(schema as unknown as avsc.Schema)
    expect(canonicalForm(schema)).toBe(JSON.stringify(type.schema()))
  }
})

test('names are full, attributes go, the order of keys is fixed', () => {
  const schema = {
    doc: 'a tree',
    fields: [
      { default: 0, type: { type: 'long', logicalType: 'timestamp-millis' }, name: 'at' },
      { name: 'kind', type: { symbols: ['A', 'B'], type: 'enum', name: 'Kind' } },
      { name: 'hash', type: { type: 'fixed', size: 16, name: 'other.Hash' } },
      { name: 'children', type: { items: 'Tree', type: 'array' } },
      { name: 'labels', type: { type: 'map', values: ['null', 'Kind'] } },
    ],
    namespace: 'forest',
    type: 'record',
    name: 'Tree',
  } as const
  expect(canonicalForm(schema)).toBe(
    '{"name":"forest.Tree","type":"record","fields":[{"name":"at","type":"long"},' +
      '{"name":"kind","type":{"name":"forest.Kind","type":"enum","symbols":["A","B"]}},' +
      '{"name":"hash","type":{"name":"other.Hash","type":"fixed","size":16}},' +
      '{"name":"children","type":{"type":"array","items":"forest.Tree"}},' +
      '{"name":"labels","type":{"type":"map","values":["null","forest.Kind"]}}]}',
  )
})

test('every topic has its own schema, so that a record on the wrong topic is noticed', () => {
  const { controlHistory, ...topics } = topicSchemas
  expect(controlHistory).toBe(topics.control)
  const fingerprints = new Set(Object.values(topics).map((schema) => fingerprintOf(schema)))
  expect(fingerprints.size).toBe(Object.keys(topics).length)
})
