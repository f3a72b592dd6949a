import fs from 'node:fs'
import path from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { parse } from 'yaml'
import { RecallClient } from '../../src/runtime/recall-client.ts'
import { openGenerator } from '../../src/runtime/replay/generator-source.ts'
import { openPositions } from '../../src/runtime/replay/positions.ts'
import { replay } from '../../src/runtime/replay/replayer.ts'
import type { ReplayProgress } from '../../src/runtime/replay/replayer.ts'
import type { ReplaySource } from '../../src/runtime/replay/source.ts'
import type { Clock } from '../../src/runtime/ports.ts'
import { createGenerator } from '../../src/streams/generator/generator.ts'
import type { GeneratorOptions } from '../../src/streams/generator/options.ts'
import type { SourceEvent } from '../../src/streams/source-event.ts'
import { deployment } from './deployment.ts'
import type { Deployment, DeploymentOptions } from './deployment.ts'
import type { OnEnd } from './own-servers.ts'
import type { RoleProcess } from './role-process.ts'
import type { Outside } from './trials.ts'

export interface LiveSystem extends Outside {
  readonly target: Deployment
  readonly roles: Readonly<
    Record<'controller' | 'ingest' | 'joiner' | 'learner' | 'pod', RoleProcess>
  >
  /** What the generator has sent so far. */
  progress(): ReplayProgress | null
}

export interface LiveInput {
  readonly eventsPerSecond: number
  readonly seed?: number
  readonly world?: Partial<GeneratorOptions>
  /** Of the events; the machine's by default. */
  readonly clock?: Clock
  /** Called before any role is started. */
  readonly prepare?: (target: Deployment) => Promise<void>
  /** Called with each event just before it is sent. */
  readonly onEvent?: (event: SourceEvent) => void
}

/** Every role as a process of its own, and the generated world as live input beside whatever else is sent. */
export async function liveSystem(
  onEnd: OnEnd,
  options: DeploymentOptions & LiveInput,
): Promise<LiveSystem> {
  const target = await deployment(onEnd, {
    ...options,
    settings: { ...generatorSettings(), ...options.settings },
  })
  const { kafka, topics, dir, config } = target
  await options.prepare?.(target)
  const controller = target.role('controller')
  await controller.waitForLog(({ msg }) => msg === 'controlling')
  target.role('indexer')
  const roles = {
    controller,
    ingest: target.role('ingest'),
    joiner: target.role('joiner'),
    learner: target.role('learner'),
    pod: target.role('pod'),
  }
  await roles.pod.waitForLog(({ msg }) => msg === 'recall is ready')
  const { brokers, topicPrefix } = config.kafka
  const client = await RecallClient.connect({ brokers, topicPrefix })
  onEnd(() => client.close())
  const producer = await plainProducer(onEnd, brokers)
  let progress: ReplayProgress | null = null
  const ending = new AbortController()
  const { seed = 17, eventsPerSecond, world, onEvent } = options
  const clock = options.clock ?? { nowMs: () => Date.now() }
  const generator = createGenerator({ seed, eventsPerSecond, ...world })
  const source = openGenerator({ generator, clock, isLive: true })
  const input = replay({
    source: onEvent === undefined ? source : observed(source, onEvent),
    ...{ kafka, topics, clock, speed: 1, signal: ending.signal },
    positions: openPositions(path.join(dir, 'positions')),
    onProgress: (now) => (progress = now),
  })
  onEnd(async () => {
    ending.abort()
    await input
  })
  return { target, roles, client, producer, topics, progress: () => progress }
}

function observed(source: ReplaySource, onEvent: (event: SourceEvent) => void): ReplaySource {
  return {
    ...source,
    async *events(after) {
      for await (const event of source.events(after)) {
        onEvent(event)
        yield event
      }
    },
  }
}

/** Knows nothing of freshet, like the producer of some other team. */
async function plainProducer(
  onEnd: OnEnd,
  brokers: readonly string[],
): Promise<Outside['producer']> {
  const producer = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).producer()
  await producer.connect()
  onEnd(() => producer.disconnect())
  return producer
}

export function generatorSettings(): Record<string, Record<string, unknown>> {
  const file = path.resolve(import.meta.dirname, '../../config/generator.yaml')
  return parse(fs.readFileSync(file, 'utf8')) as Record<string, Record<string, unknown>>
}
