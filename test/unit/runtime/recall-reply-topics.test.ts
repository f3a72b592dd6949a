import { describe, expect, test, vi } from 'vitest'
import { FreshetError } from '../../../src/errors.ts'
import { ReplyTopics } from '../../../src/runtime/recall-reply-topics.ts'

function kafkaWith(topics: Readonly<Record<string, number>>) {
  return {
    topicExists: vi.fn((topic: string) => Promise.resolve(topic in topics)),
    offsets: vi.fn((topic: string) =>
      Promise.resolve(
        Array.from({ length: topics[topic] ?? 0 }, (_, partition) => ({
          partition,
          low: 0,
          high: 0,
        })),
      ),
    ),
  }
}

describe('reply topics', () => {
  test('asks once for what exists, however many wait', async () => {
    const kafka = kafkaWith({ replies: 2 })
    const replyTopics = new ReplyTopics(kafka, () => false)
    const reply = { topic: 'replies', partition: 1 }
    expect(await Promise.all([1, 2, 3].map(() => replyTopics.has(reply)))).toEqual([
      true,
      true,
      true,
    ])
    expect(await replyTopics.has(reply)).toBe(true)
    expect(kafka.topicExists).toHaveBeenCalledTimes(1)
    replyTopics.forget(reply)
    await replyTopics.has(reply)
    expect(kafka.topicExists).toHaveBeenCalledTimes(2)
  })

  test('knows partitions, not only topics', async () => {
    const replyTopics = new ReplyTopics(kafkaWith({ replies: 2 }), () => false)
    expect(await replyTopics.has({ topic: 'replies', partition: 2 })).toBe(false)
    expect(await replyTopics.has({ topic: 'replies', partition: -1 })).toBe(false)
  })

  test('never asks for forbidden or impossible names', async () => {
    const kafka = kafkaWith({ control: 1 })
    const replyTopics = new ReplyTopics(kafka, (topic) => topic === 'control')
    for (const topic of ['control', '', 'a b', 'x'.repeat(250)]) {
      expect(await replyTopics.has({ topic, partition: 0 })).toBe(false)
    }
    expect(kafka.topicExists).not.toHaveBeenCalled()
  })

  test('a question that fails is asked again', async () => {
    const kafka = kafkaWith({ replies: 1 })
    kafka.topicExists.mockRejectedValueOnce(new FreshetError('BROKER_UNAVAILABLE', 'away'))
    const replyTopics = new ReplyTopics(kafka, () => false)
    const reply = { topic: 'replies', partition: 0 }
    await expect(replyTopics.has(reply)).rejects.toThrow('away')
    expect(await replyTopics.has(reply)).toBe(true)
  })
})
