import { LRUCache } from 'lru-cache'
import { FreshetError } from '../errors.ts'
import type { KafkaClient, TopicPartition } from './ports.ts'
import { partitionKey } from './ports.ts'

const partitionsMax = 10_000
/** How soon a partition that does not exist is looked for again. */
const unknownMs = 2_000
const legalName = /^[a-zA-Z0-9._-]{1,249}$/

/**
 * Which reply partitions exist. Each is asked for once and by the requests that name it only; those that exist are
 * remembered until a send to them fails.
 */
export class ReplyTopics {
  readonly #kafka: Pick<KafkaClient, 'topicExists' | 'offsets'>
  readonly #isForbidden: (topic: string) => boolean
  readonly #answers = new LRUCache<string, Promise<boolean>>({ max: partitionsMax })

  /** @param isForbidden topics that must not be written to because a request says so */
  constructor(
    kafka: Pick<KafkaClient, 'topicExists' | 'offsets'>,
    isForbidden: (topic: string) => boolean,
  ) {
    this.#kafka = kafka
    this.#isForbidden = isForbidden
  }

  /** @throws FreshetError when the broker cannot be asked */
  has(reply: TopicPartition): Promise<boolean> {
    const key = partitionKey(reply)
    const known = this.#answers.get(key)
    if (known !== undefined) return known
    const answer = this.#ask(reply)
    this.#answers.set(key, answer)
    answer.then(
      (exists) => exists || this.#answers.set(key, answer, { ttl: unknownMs }),
      () => this.#answers.delete(key),
    )
    return answer
  }

  forget(reply: TopicPartition): void {
    this.#answers.delete(partitionKey(reply))
  }

  async #ask({ topic, partition }: TopicPartition): Promise<boolean> {
    if (!legalName.test(topic) || this.#isForbidden(topic)) return false
    try {
      if (!(await this.#kafka.topicExists(topic))) return false
      return (await this.#kafka.offsets(topic)).some((each) => each.partition === partition)
    } catch (error) {
      // Deleted between the two questions.
      if (error instanceof FreshetError && error.code === 'TOPIC_INVALID') return false
      throw error
    }
  }
}
