import { setTimeout as pause } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { Config } from '../../config/schema.ts'
import { FreshetError, messageOf } from '../../errors.ts'
import type { Metrics } from '../../metrics/metrics.ts'
import type { TopicNames } from '../../records/topics.ts'
import { listenError } from '../listen-error.ts'
import type { Clock, KafkaClient, Logger } from '../ports.ts'
import type { RecallClient, RecallClientOptions } from '../recall-client.ts'
import { whenAborted } from '../when-aborted.ts'
import { withTimeout } from '../with-timeout.ts'
import { EventIntake } from './events.ts'
import { gatewayServer } from './server.ts'
import { Tokens } from './tokens.ts'

export interface GatewayDependencies {
  readonly config: Pick<Config, 'gateway' | 'ingest'>
  readonly topics: TopicNames
  readonly kafka: Pick<KafkaClient, 'producer' | 'topicExists'>
  readonly connectRecall: (
    options: Pick<RecallClientOptions, 'concurrency' | 'onFailure'>,
  ) => Promise<Pick<RecallClient, 'recall' | 'close'>>
  readonly metrics: Metrics
  readonly clock: Clock
  readonly log: Logger
  readonly signal: AbortSignal
  /** Called when it begins to serve, and whenever Kafka stops or starts answering. */
  readonly onReadiness: (isReady: boolean, detail: string) => void
}

const cadenceMs = 1_000
/** Kafka is taken to be away when it has not answered for so long. */
const silentMs = 2_000

/**
 * Serves recall and takes events by HTTP until `signal`: then it is not ready, ends what is under way, and waits for Kafka to have the
 * events. With Kafka away it goes on, and answers that it cannot serve.
 * @throws FreshetError FILE_MISSING, FILE_INVALID (tokens), PORT_TAKEN, BROKER_UNAVAILABLE
 */
export async function runGateway(deps: GatewayDependencies): Promise<void> {
  const { log } = deps
  const tokens = await Tokens.open(deps.config.gateway.tokenFile)
  const closers: (() => Promise<void>)[] = []
  const ended = whenAborted(deps.signal)
  const ending = new AbortController()
  const signal = AbortSignal.any([deps.signal, ending.signal])
  try {
    await Promise.race([serve({ ...deps, signal }, tokens, ended.fail, closers), ended.promise])
    await ended.promise
  } catch (error) {
    if (!deps.signal.aborted) throw error
  } finally {
    ending.abort()
    for (const close of closers.reverse()) {
      await close().catch((error: unknown) =>
        log.warn({ error: messageOf(error) }, 'closing the gateway'),
      )
    }
  }
}

/** Opens everything, in the order in which it is needed; `closers` close it in the reverse one. */
async function serve(
  deps: GatewayDependencies,
  tokens: Tokens,
  fail: (error: Error) => void,
  closers: (() => Promise<void>)[],
): Promise<void> {
  const { config, topics, kafka, metrics, clock, log, signal } = deps
  const producer = await kafka.producer()
  closers.push(() => producer.close())
  const concurrency = config.gateway.inFlightMax
  const client = await deps.connectRecall({ concurrency, onFailure: fail })
  if (signal.aborted) return client.close()
  closers.push(() => client.close())

  let absence: string | null = null
  const app = gatewayServer({
    ...{ client, tokens, metrics, log, config: config.gateway },
    intake: new EventIntake({ config, topics, producer, metrics, clock }),
    waitsFor: () => (signal.aborted ? 'the gateway is stopping' : absence),
  })
  // Whoever keeps a connection is told to take it elsewhere.
  app.addHook(
    'onSend',
    async (_, reply) => void (signal.aborted && reply.header('connection', 'close')),
  )
  const url = await listen(app, config.gateway)
  const close = () => drain(app, config.gateway.drainMs)
  if (signal.aborted) return close()
  closers.push(close)
  log.info({ url, needsToken: config.gateway.tokenFile !== null }, 'the gateway serves')
  deps.onReadiness(true, 'running')

  void watch(deps, tokens, (found) => {
    if (found === absence) return
    absence = found
    log.warn({ isReady: found === null }, found ?? 'Kafka answers again')
    deps.onReadiness(found === null, found ?? 'running')
  })
}

/** Until the signal: asks Kafka whether it is there, and takes over new tokens. @param onKafka told what is missing; null: nothing */
async function watch(
  { kafka, topics, log, signal }: GatewayDependencies,
  tokens: Tokens,
  onKafka: (missing: string | null) => void,
): Promise<void> {
  const topic = topics.recallReplies
  const silence = () => new FreshetError('TIMEOUT', 'Kafka does not answer')
  let question: Promise<boolean> | null = null
  let complaint: string | null = null
  while (!signal.aborted) {
    // One at a time: it stays open while no broker answers.
    question ??= kafka.topicExists(topic).finally(() => (question = null))
    const missing = await withTimeout(question, silentMs, silence).then(
      (exists) => (exists ? null : `topic ${topic} does not exist`),
      messageOf,
    )
    if (!signal.aborted) onKafka(missing)
    try {
      if (await tokens.refresh()) log.info({}, 'the tokens have changed')
      complaint = null
    } catch (error) {
      if (complaint !== messageOf(error)) {
        complaint = messageOf(error)
        log.error({ error: complaint }, 'the tokens from before stay in force')
      }
    }
    await pause(cadenceMs, undefined, { signal }).catch(() => undefined)
  }
}

/** @returns the URL it serves at */
async function listen(app: FastifyInstance, { host, port }: Config['gateway']): Promise<string> {
  try {
    return await app.listen({ host, port })
  } catch (error) {
    throw listenError('gateway', { host, port }, error)
  }
}

async function drain(app: FastifyInstance, drainMs: number): Promise<void> {
  const late = setTimeout(() => app.server.closeAllConnections(), drainMs)
  await app.close().finally(() => clearTimeout(late))
}
