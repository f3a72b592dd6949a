import type { TestProject } from 'vitest/node'
import { ownBroker, ownRedis, temporaryDir } from './own-servers.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** host:port of the broker that all integration tests share: use topic names of your own. */
    kafkaBrokers: string[]
    /** Redis that all integration tests share: use generation names of your own, never FLUSHALL. */
    redisUrl: string
  }
}

/** One broker and one Redis for the whole run, in a folder that is removed at the end. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const cleanUps: (() => Promise<void>)[] = []
  const onEnd = (cleanUp: () => Promise<void>): void => void cleanUps.push(cleanUp)
  const tearDown = async (): Promise<void> => {
    for (const cleanUp of cleanUps.reverse()) await cleanUp()
  }
  try {
    const dir = await temporaryDir(onEnd)
    const broker = await ownBroker(onEnd, dir)
    project.provide('kafkaBrokers', [broker.address])
    const redisUrl = process.env['REDIS_URL'] ?? (await ownRedis(onEnd, { dir })).address
    project.provide('redisUrl', redisUrl)
  } catch (error) {
    await tearDown()
    throw error
  }
  return tearDown
}
