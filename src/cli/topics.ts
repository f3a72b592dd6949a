import type { Config } from '../config/schema.ts'
import { FreshetError } from '../errors.ts'
import { KafkaExaminer } from '../runtime/kafka/examine.ts'
import { isMet, topicNeeds } from '../runtime/kafka/topics.ts'
import type { TopicNeeds } from '../runtime/kafka/topics.ts'
import type { TopicsOptions } from './commands/topics.ts'
import { withKafka, type Connected } from './connect.ts'
import { effectiveConfig } from './options.ts'

/** What is to be done to one topic. */
interface Change {
  readonly topic: string
  readonly text: string
  apply(): Promise<void>
}

/** `freshet topics`: nothing is deleted, and no partition added where there are records. */
export async function runTopicsCommand(options: TopicsOptions): Promise<void> {
  const config = effectiveConfig(options)
  const wanted = wantedOf(config, options.topic)
  await withKafka(config, async (connected) => {
    const examiner = new KafkaExaminer(config.kafka, connected.log)
    try {
      await examiner.open()
      const changes = await changesOf(wanted, examiner, connected)
      for (const { topic, text, apply } of changes) {
        if (options.dryRun !== true) await apply()
        process.stdout.write(`${topic}: ${options.dryRun === true ? 'would be ' : ''}${text}\n`)
      }
      if (changes.length === 0) process.stdout.write('every topic is as needed\n')
    } finally {
      examiner.close()
    }
  })
}

function wantedOf(config: Config, topic: string | undefined): TopicNeeds[] {
  const all = topicNeeds(config)
  const wanted = all.filter((each) => topic === undefined || each.topic === topic)
  if (wanted.length > 0) return wanted
  const names = all.map((each) => each.topic).join(', ')
  throw new FreshetError('USAGE_INVALID', `${topic} is none of freshet's topics: ${names}`)
}

async function changesOf(
  wanted: readonly TopicNeeds[],
  examiner: KafkaExaminer,
  { kafka }: Connected,
): Promise<Change[]> {
  const { topics } = await examiner.cluster(wanted.map(({ topic }) => topic))
  const found = new Map(topics.map((each) => [each.topic, each]))
  const isThere = ({ topic }: TopicNeeds) => found.get(topic)?.errorCode === 0
  const existing = wanted.filter(isThere).map(({ topic }) => topic)
  const settings = await examiner.topicSettings(existing)
  const bounds = await examiner.bounds(existing)
  return wanted.flatMap((each): Change[] => {
    const { topic, partitions, needs } = each
    if (!isThere(each)) {
      return [{ topic, text: 'made', apply: () => kafka.createTopics([each]) }]
    }
    const own = settings.get(topic) ?? {}
    const changes: Change[] = needs
      .filter((need) => !isMet(need, own[need.name]))
      .map(({ name, value }) => ({
        ...{ topic, text: `set ${name} to ${value}, it was ${own[name]}` },
        apply: () => examiner.alterTopic(topic, { [name]: value }),
      }))
    const count = found.get(topic)!.partitions.length
    const isEmpty = bounds.every((one) => one.topic !== topic || one.high === 0)
    if (count < partitions && isEmpty) {
      const text = `given ${partitions} partitions, it had ${count}`
      changes.push({ topic, text, apply: () => examiner.addPartitions(topic, partitions) })
    }
    return changes
  })
}
