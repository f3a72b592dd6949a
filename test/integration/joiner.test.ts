import { expect, onTestFinished, test } from 'vitest'
import { configSchema } from '../../src/config/schema.ts'
import { createMetrics, type Metrics } from '../../src/metrics/metrics.ts'
import { decodeExample, encodeEvent } from '../../src/records/codec.ts'
import { noFeatures, type Event } from '../../src/records/types.ts'
import { runJoiner, type JoinerDeps } from '../../src/runtime/joiner.ts'
import type { KafkaClient, TransactionalProducer } from '../../src/runtime/ports.ts'
import { joiner } from '../../src/streams/joiner.ts'
import type { SinkRecord } from '../../src/streams/stage.ts'
import { silentLog } from '../support/own-servers.ts'
import { eventually, randomName, readAll, testClient, testTopic } from './kafka/support.ts'

const partitions = 2
const config = configSchema.parse({}).joiner

async function setUp(kafka: KafkaClient) {
  const topics = {
    events: await testTopic(kafka, partitions),
    examples: await testTopic(kafka, partitions),
    deadLetters: await testTopic(kafka, 1),
  }
  return { topics, groupId: randomName('joiner'), transactionalIdPrefix: randomName('test') }
}

interface Running {
  readonly metrics: Metrics
  stop(): Promise<void>
}

function run(
  deps: Pick<JoinerDeps, 'kafka' | 'topics' | 'groupId' | 'transactionalIdPrefix'>,
): Running {
  const ending = new AbortController()
  const metrics = createMetrics()
  const done = runJoiner({
    ...deps,
    config,
    metrics,
    log: silentLog,
    clock: { nowMs: () => Date.now() },
    signal: ending.signal,
  })
  const stop = async () => {
    ending.abort()
    await done
  }
  onTestFinished(stop)
  return { metrics, stop }
}

/** Pages of three items, each with a click before, a click after, and everything twice now and then. */
function eventsOf(requests: readonly number[]): Event[] {
  return requests.flatMap((r) => {
    const at = {
      requestId: `r${r}`,
      userId: `u${r % 17}`,
      eventTimeMs: 1_700_000_000_000 + r * 1_000,
    }
    const click = (itemId: string): Event => ({
      kind: 'click',
      ...at,
      itemId,
      action: 'click',
      weight: 1,
    })
    const items = [`a${r}`, `b${r}`, `c${r}`]
    const page: Event = {
      ...{ kind: 'impression', ...at, scenario: 's', items, eliminated: ['x'] },
      features: noFeatures,
    }
    const story = [click(`a${r}`), page, click(`b${r}`), click(`z${r}`)]
    return r % 5 === 0 ? [...story, page, click(`b${r}`)] : story
  })
}

async function write(
  kafka: KafkaClient,
  topic: string,
  requests: readonly number[],
): Promise<void> {
  const producer = await kafka.producer()
  const records = requests.flatMap((r) =>
    eventsOf([r]).map((event): SinkRecord => ({
      ...{ topic, key: `u${r % 17}`, value: encodeEvent(event) },
      ...{ partition: (r % 17) % partitions, timestampMs: Date.now() },
    })),
  )
  await producer.send(records)
  await producer.close()
}

/** What the pure stage makes of the whole log in one go: the oracle. */
async function offlineJoin(kafka: KafkaClient, topics: JoinerDeps['topics']): Promise<string[]> {
  const log = await readAll(kafka, topics.events)
  const stage = joiner({ ...config, topics })
  const outputs = [0, 1].flatMap((p) =>
    stage.onBatch(
      stage.init(),
      log.filter((r) => r.partition === p),
    ),
  )
  return outputs
    .filter((o) => o.topic === topics.examples && o.key !== null)
    .map((o) => `${o.partition} ${o.value!.toString('hex')}`)
}

async function written(kafka: KafkaClient, topic: string): Promise<string[]> {
  const records = (await readAll(kafka, topic)).filter((r) => r.key !== null)
  return records
    .sort((a, b) => a.partition - b.partition || a.offset - b.offset)
    .map((r) => `${r.partition} ${r.value!.toString('hex')}`)
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

test('restarted again and again, it writes the examples of one undisturbed join, in order, once', async () => {
  const kafka = testClient()
  const setup = await setUp(kafka)
  for (let round = 0; round < 4; round++) {
    const running = run({ kafka, ...setup })
    // The first round leaves pages open that later rounds click on: state has to survive.
    await write(kafka, setup.topics.events, numbers(round * 200, round * 200 + 200))
    await eventually(
      async () => (await written(kafka, setup.topics.examples)).length > round * 350,
      'examples flow',
    )
    await running.stop()
  }
  const last = run({ kafka, ...setup })
  const expected = await offlineJoin(kafka, setup.topics)
  expect(expected).toHaveLength(1_600)
  await eventually(
    async () => (await written(kafka, setup.topics.examples)).length >= 1_600,
    'all examples',
  )
  await last.stop()
  expect(await written(kafka, setup.topics.examples)).toEqual(expected)
  const example = decodeExample((await readAll(kafka, setup.topics.examples))[0]!.value!)
  expect(example).toMatchObject({ kind: 'example', hardNegatives: ['x'] })
  // One click of each request names an item that was not on the page.
  expect(await readAll(kafka, setup.topics.deadLetters)).toHaveLength(800)
})

test('a click joins a page that was written before a restart', async () => {
  const kafka = testClient()
  const setup = await setUp(kafka)
  const [early, page, late] = eventsOf([1])
  const send = async (events: Event[]) => {
    const producer = await kafka.producer()
    await producer.send(
      events.map((event) => ({
        ...{ topic: setup.topics.events, partition: 0, key: 'u1' },
        ...{ value: encodeEvent(event), timestampMs: Date.now() },
      })),
    )
    await producer.close()
  }
  const first = run({ kafka, ...setup })
  await send([page!])
  await eventually(
    async () => (await kafka.committed(setup.groupId, setup.topics.events)).get(0)!.offset === 1,
    'the page is committed',
  )
  await first.stop()
  run({ kafka, ...setup })
  await send([early!, late!])
  await eventually(
    async () => (await written(kafka, setup.topics.examples)).length === 2,
    'both joined',
  )
})

test('a zombie that wakes inside a transaction is fenced and adds nothing', async () => {
  const kafka = testClient()
  const setup = await setUp(kafka)
  let release = () => {}
  const held = new Promise<void>((resolve) => (release = resolve))
  let isHolding = false
  const holding = (producer: TransactionalProducer): TransactionalProducer => ({
    close: () => producer.close(),
    transact: async (records, offsets) => {
      isHolding = true
      await held
      await producer.transact(records, offsets)
    },
  })
  // Its own group stands for a group that has given its partitions away while it slept.
  const zombieKafka: KafkaClient = {
    ...kafka,
    transactionalProducer: async (id) => holding(await kafka.transactionalProducer(id)),
    joinGroup: (options) => kafka.joinGroup({ ...options, groupId: randomName('zombie') }),
  }
  const zombie = run({ kafka: zombieKafka, ...setup })
  await write(kafka, setup.topics.events, numbers(0, 300))
  await eventually(() => isHolding, 'the zombie is about to send')

  const owner = run({ kafka, ...setup })
  await eventually(
    async () => (await written(kafka, setup.topics.examples)).length >= 600,
    'the owner did it all',
  )
  const stopped = zombie.stop()
  release()
  await stopped
  const outcomes = (await zombie.metrics.transactions.get()).values
  expect(outcomes.map((v) => v.labels.outcome)).toEqual(['fenced'])
  await write(kafka, setup.topics.events, numbers(300, 400))
  await eventually(
    async () => (await written(kafka, setup.topics.examples)).length >= 800,
    'the owner goes on',
  )
  await owner.stop()
  expect(await written(kafka, setup.topics.examples)).toEqual(
    await offlineJoin(kafka, setup.topics),
  )
})

test('two joiners share the partitions, and one takes over when the other leaves', async () => {
  const kafka = testClient()
  const setup = await setUp(kafka)
  const [first, second] = [run({ kafka, ...setup }), run({ kafka, ...setup })]
  const owned = async (one: Running) => (await one.metrics.openRequests.get()).values.length
  let next = 0
  await eventually(async () => {
    await write(kafka, setup.topics.events, numbers(next, next + 20))
    next += 20
    return (await owned(first)) === 1 && (await owned(second)) === 1
  }, 'both have a partition')
  await second.stop()
  await write(kafka, setup.topics.events, numbers(next, next + 20))
  next += 20
  await eventually(
    async () => (await written(kafka, setup.topics.examples)).length >= next * 2,
    'nothing is missing',
  )
  await first.stop()
  expect(await written(kafka, setup.topics.examples)).toEqual(
    await offlineJoin(kafka, setup.topics),
  )
})

test('metrics say what was committed', async () => {
  const kafka = testClient()
  const setup = await setUp(kafka)
  const { metrics, stop } = run({ kafka, ...setup })
  await write(kafka, setup.topics.events, numbers(0, 10))
  await eventually(async () => (await metrics.examples.get()).values[0]?.value === 20, 'counted')
  await stop()
  const valueOf = async (name: keyof Metrics, labels: object) => {
    const metric = metrics[name] as {
      get(): Promise<{ values: { labels: object; value: number }[] }>
    }
    return (await metric.get()).values.find(
      (v) => JSON.stringify(v.labels) === JSON.stringify(labels),
    )?.value
  }
  expect(await valueOf('deadLetters', { role: 'joiner', reason: 'CLICK_NOT_SHOWN' })).toBe(10)
  expect(await valueOf('duplicates', { role: 'joiner', kind: 'same' })).toBe(4)
  expect(await metrics.registry.metrics()).toMatch(
    /freshet_stage_delay_seconds_count\{stage="joiner"\} 20/,
  )
})
