import { expect, test } from 'vitest'
import { configSchema } from '../../../../src/config/schema.ts'
import { topicNames } from '../../../../src/records/topics.ts'
import { isMet, topicDefinitions, topicNeeds } from '../../../../src/runtime/kafka/topics.ts'

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

test('a topic as it is made is as needed', () => {
  for (const { config: made, needs } of topicNeeds(config)) {
    expect(needs.filter((need) => !isMet(need, made[need.name]))).toEqual([])
  }
})

test('events are kept for as long as the joiner reads back, examples for as long as a generation does', () => {
  const long = configSchema.parse({ joiner: { windowMs: 7_200_000, graceMs: 60_000 } })
  const keptOf = (topic: string) =>
    topicNeeds(long)
      .find((each) => each.topic === topic)!
      .needs.find(({ name }) => name === 'retention.ms')!.value
  expect(keptOf(topicNames().events)).toBe('7260000')
  expect(Number(keptOf(topicNames().examples))).toBeGreaterThan(2 * 86_400_000)
})

test('a setting may be larger, smaller or neither, as it is needed; -1 is more than anything', () => {
  const isIt = (compare: 'equal' | 'at-least' | 'at-most', value: string, found?: string) =>
    isMet({ name: 'x', value, compare }, found)
  expect([isIt('equal', 'compact', 'compact,delete'), isIt('equal', 'a', 'a')]).toEqual([
    false,
    true,
  ])
  expect(['9', '10', '11', '-1'].map((found) => isIt('at-least', '10', found))).toEqual([
    ...[false, true, true, true],
  ])
  expect(['9', '10', '11'].map((found) => isIt('at-most', '10', found))).toEqual([
    true,
    true,
    false,
  ])
  expect([isIt('at-least', '-1', '10'), isIt('at-least', '-1', '-1')]).toEqual([false, true])
  expect(isIt('at-least', '9223372036854775807', '9223372036854775806')).toBe(false)
  expect(isIt('at-least', '10')).toBe(true)
})
