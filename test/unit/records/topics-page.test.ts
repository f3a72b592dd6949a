import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { fingerprintOf, singleObjectHeader } from '../../../src/records/fingerprint.ts'
import { clickOf, impressionOf, type Unchecked } from '../../../src/records/json.ts'
import { topicSchemas } from '../../../src/records/schemas.ts'

const page = readFileSync(new URL('../../../docs/topics.md', import.meta.url), 'utf8')
const [impression, click, examples] = Array.from(
  page.matchAll(/```json\n(.*?)```/gs),
  (match): unknown => JSON.parse(match[1]!),
)

test('the JSON of the page is what the readers take, with nothing left over', () => {
  expect(impressionOf(impression as Unchecked)).toMatchObject({
    requestId: 'r-81f3',
    eventTimeMs: Date.UTC(2026, 0, 31, 12, 0, 0, 250),
    items: ['m-17', 'm-4', 'm-99'],
  })
  expect(clickOf(click as Unchecked)).toMatchObject({ itemId: 'm-4', action: 'play', weight: 2.5 })
  const names = (schema: { fields: readonly { name: string }[] }) =>
    schema.fields.map((f) => f.name)
  expect(Object.keys(impression as object)).toEqual(names(topicSchemas.impressions))
  expect(Object.keys(click as object)).toEqual(names(topicSchemas.clicks))
})

test('the schema of examples and its fingerprint are the ones in use', () => {
  expect(examples).toEqual(topicSchemas.examples)
  expect(page).toContain(`\`${fingerprintOf(topicSchemas.examples)}\``)
  const header = singleObjectHeader(topicSchemas.examples).toString('hex').toUpperCase()
  expect(page).toContain(`\`${header.match(/../g)!.join(' ')}\``)
})
