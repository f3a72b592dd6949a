import { expect, test } from 'vitest'
import { configSchema } from '../../../../src/config/schema.ts'
import { topicNames } from '../../../../src/records/topics.ts'
import { topicDefinitions } from '../../../../src/runtime/kafka/topics.ts'

const config = configSchema.parse({ kafka: { topicPrefix: 'own', partitions: 6 } })
const definitions = new Map(topicDefinitions(config).map((d) => [d.topic, d]))
const names = topicNames('own')

test('every topic has a definition under the configured prefix', () => {
  expect([...definitions.keys()].sort()).toEqual(Object.values(names).sort())
})

test('what is written by user has the configured partitions, what has one order has one', () => {
  const of = (topic: string) => definitions.get(topic)!.partitions
  expect([names.events, names.examples, names.clicks].map(of)).toEqual([6, 6, 6])
  expect([names.overrides, names.control, names.reports].map(of)).toEqual([1, 1, 1])
})

test('sources measure arrival, what follows carries it', () => {
  const timeOf = (topic: string) => definitions.get(topic)!.config['message.timestamp.type']
  expect([names.impressions, names.clicks].map(timeOf)).toEqual(['LogAppendTime', 'LogAppendTime'])
  expect([names.events, names.examples].map(timeOf)).toEqual(['CreateTime', 'CreateTime'])
})

test('a dead letter has room for the largest record of a source', () => {
  const bytesOf = (topic: string) => Number(definitions.get(topic)!.config['max.message.bytes'])
  expect(bytesOf(names.deadLetters)).toBeGreaterThan(bytesOf(names.impressions) + 100_000)
})
