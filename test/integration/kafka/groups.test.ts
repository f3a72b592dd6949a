import { expect, test } from 'vitest'
import { partitionKey } from '../../../src/runtime/ports.ts'
import {
  eventually,
  member,
  numbered,
  randomName,
  range,
  testClient,
  testTopic,
  valuesOf,
} from './support.ts'

test("'modulo' gives partition p of every topic to one member, and its share to the other when one leaves", async () => {
  const kafka = testClient()
  const [a, b] = [await testTopic(kafka, 4), await testTopic(kafka, 4)]
  const groupId = randomName('group')
  const first = await member(kafka, groupId, [a, b])
  await eventually(() => first.owned.size === 8, 'the first member owns everything')
  const second = await member(kafka, groupId, [a, b])
  await eventually(() => first.owned.size === 4 && second.owned.size === 4, 'both own a half')

  for (const one of [first, second]) {
    const of = (topic: string) =>
      [...one.owned]
        .filter((key) => key.startsWith(topic))
        .map((key) => Number(key.split('/')[1]) % 2)
    expect(new Set([...of(a), ...of(b)]).size).toBe(1)
  }
  // What stayed with the first member was neither given back nor handed out again.
  expect(first.calls).toHaveLength(2)
  await second.consumer.close()
  await eventually(() => first.owned.size === 8, 'the first member owns everything again')
})

test("'all-to-first' keeps one member active and another in reserve", async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 3)
  const groupId = randomName('group')
  const members = [
    await member(kafka, groupId, [topic], { assignment: 'all-to-first' }),
    await member(kafka, groupId, [topic], { assignment: 'all-to-first' }),
  ]
  const sizes = () => members.map((m) => m.owned.size).sort()
  await eventually(() => String(sizes()) === '0,3', 'one member owns everything')
  const active = members.find((m) => m.owned.size === 3)!
  const reserve = members.find((m) => m !== active)!
  await active.consumer.close()
  await eventually(() => reserve.owned.size === 3, 'the reserve takes over')
})

test('nothing is delivered before `assigned` has returned, and reading starts where it says', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 1)
  const producer = await kafka.producer()
  await producer.send(numbered(topic, 0, 0, 100))
  let release = () => {}
  const held = new Promise<void>((resolve) => (release = resolve))
  const one = await member(kafka, randomName('group'), [topic], {
    assigned: async (partitions) => {
      await held
      return new Map(partitions.map((p) => [partitionKey(p), 60]))
    },
  })
  await eventually(() => one.calls.length === 1, '`assigned` was called')
  await producer.send(numbered(topic, 0, 100, 110))
  expect(one.records).toEqual([])
  release()
  await eventually(() => one.records.length === 50, 'everything from offset 60 on')
  expect(valuesOf(one.records)).toEqual(range(60, 110))
})

test('a seek inside a batch drops what was fetched before it', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 1)
  const producer = await kafka.producer()
  await producer.send(numbered(topic, 0, 0, 50))
  let hasSought = false
  const one = await member(kafka, randomName('group'), [topic], {
    onBatch: (batch, consumer) => {
      if (hasSought) return
      hasSought = true
      consumer.seek(batch, 40)
    },
  })
  await eventually(() => one.records.length === 60, 'the whole topic, then its end once more')
  expect(valuesOf(one.records)).toEqual([...range(0, 50), ...range(40, 50)])
})

test('a paused partition delivers nothing while others go on; resumed, it goes on without a gap', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 2)
  const producer = await kafka.producer()
  const one = await member(kafka, randomName('group'), [topic])
  await eventually(() => one.owned.size === 2, 'joined')
  one.consumer.pause({ topic, partition: 0 })
  await producer.send([...numbered(topic, 0, 0, 20), ...numbered(topic, 1, 0, 20)])
  const of = (partition: number) => one.records.filter((r) => r.partition === partition)
  await eventually(() => of(1).length === 20, 'the other partition goes on')
  expect(of(0)).toEqual([])
  one.consumer.resume({ topic, partition: 0 })
  await eventually(() => of(0).length === 20, 'everything after the pause')
  expect(valuesOf(of(0))).toEqual(range(0, 20))
})

test('committed offsets are where the next member starts', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 1)
  const groupId = randomName('group')
  await (await kafka.producer()).send(numbered(topic, 0, 0, 10))
  const first = await member(kafka, groupId, [topic])
  await eventually(() => first.records.length === 10, 'all records')
  await first.consumer.commit([{ topic, partition: 0, offset: 7 }])
  await first.consumer.close()
  const second = await member(kafka, groupId, [topic])
  await eventually(() => second.records.length === 3, 'the rest')
  expect(valuesOf(second.records)).toEqual(range(7, 10))
})

test('a handler that throws gives its partitions back, joins again and gets the batch again', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 1)
  await (await kafka.producer()).send(numbered(topic, 0, 0, 5))
  let failures = 2
  const one = await member(kafka, randomName('group'), [topic], {
    onBatch: () => {
      if (failures-- > 0) throw new Error('handler failed')
    },
  })
  await eventually(() => one.records.length === 15, 'the batch came three times')
  expect(one.calls.filter((call) => call.startsWith('revoked'))).toHaveLength(2)
})

test('rejoin drops every assignment and gets it anew', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 2)
  const one = await member(kafka, randomName('group'), [topic])
  await eventually(() => one.owned.size === 2, 'joined')
  await one.consumer.rejoin()
  await eventually(() => one.calls.length === 3 && one.owned.size === 2, 'joined again')
  expect(one.calls.map((call) => call.split(' ')[0])).toEqual(['assigned', 'revoked', 'assigned'])
})
