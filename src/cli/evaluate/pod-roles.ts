import type { Config } from '../../config/schema.ts'
import { FreshetError } from '../../errors.ts'
import type { ControlDocument } from '../../records/types.ts'
import { ControllerIntake } from '../../runtime/controller-intake.ts'
import { controlRecords } from '../../runtime/controller-term.ts'
import type { Logger, Producer } from '../../runtime/ports.ts'
import { nextDocument } from '../../streams/controller-document.ts'
import { progressOf, type ControllerOptions } from '../../streams/controller-progress.ts'
import { decide } from '../../streams/controller.ts'
import { openContext, type RoleContext } from '../role-context.ts'
import { runRoles } from '../roles.ts'

/** In which an index is built and a pod verifies it. */
const liveWithinMs = 120_000
const readyWithinMs = 60_000
const pollMs = 100
const names = ['indexer', 'pod'] as const

const nothing: ControlDocument = {
  ...{ epoch: 0, live: null, candidate: null, previous: null, kept: [] },
  ...{ cuts: {}, catalogueCuts: {}, states: {}, liveSinceMs: 0 },
}

/** An indexer and a recall pod in this process, and the decisions of the controller on the clock of an evaluation. */
export class PodRoles {
  readonly context: RoleContext
  readonly close: () => Promise<void>
  readonly #intake: ControllerIntake
  readonly #producer: Producer
  readonly #options: ControllerOptions
  #document = nothing

  /**
   * Resolves when a pod takes requests.
   * @param interrupt ends the roles; aborted where one of them fails
   */
  static async open(config: Config, log: Logger, interrupt: AbortController): Promise<PodRoles> {
    const ending = new AbortController()
    const signal = AbortSignal.any([interrupt.signal, ending.signal])
    const { context, close: closeContext } = await openContext(config, log, signal)
    const closers = [closeContext]
    const close = async (): Promise<void> => {
      ending.abort()
      for (const one of closers.splice(0).reverse()) await one()
    }
    try {
      signal.throwIfAborted()
      const intake = await ControllerIntake.open(context, Infinity)
      closers.push(() => intake.close())
      const producer = await context.kafka.producer()
      closers.push(() => producer.close())
      const ended = runRoles(context, names).catch((error: unknown) => interrupt.abort(error))
      closers.push(() => ended)
      const roles = new PodRoles(context, close, intake, producer)
      await roles.#ready()
      return roles
    } catch (error) {
      await close()
      throw error
    }
  }

  private constructor(
    context: RoleContext,
    close: () => Promise<void>,
    intake: ControllerIntake,
    producer: Producer,
  ) {
    this.context = context
    this.close = close
    this.#intake = intake
    this.#producer = producer
    const { generations, kafka } = context.config
    // Nothing has happened yet that a new generation would have to catch up with.
    this.#options = { ...generations, partitions: kafka.partitions, catchUp: false }
  }

  /**
   * Resolves when pods have been told that the generation is live.
   * @returns recall@100 of its index
   * @throws FreshetError TIMEOUT, and what the evaluation was interrupted by
   */
  async switchTo(generation: string): Promise<number> {
    const { signal, clock } = this.context
    const { known } = this.#intake
    const kept = [...this.#document.kept, generation]
    const states = { ...this.#document.states, [generation]: 'trained' as const }
    await this.#write(nextDocument(this.#document, { kept, states }, this.#options.keep))
    const deadlineMs = performance.now() + liveWithinMs
    for (;;) {
      await this.#decide()
      // Reported with its snapshot, so before a pod could verify it.
      if (this.#document.live === generation) return known.indexed(generation)!.recall
      signal.throwIfAborted()
      if (performance.now() > deadlineMs) {
        const now = clock.nowMs()
        const { waitsFor } = progressOf(generation, this.#document, known, now, this.#options)
        throw late(`generation ${generation} is not live`, liveWithinMs, waitsFor)
      }
      await this.#intake.untilNews(pollMs, signal)
    }
  }

  async #ready(): Promise<void> {
    const { signal, health } = this.context
    const deadlineMs = performance.now() + readyWithinMs
    for (;;) {
      signal.throwIfAborted()
      const waitsFor = names.filter((name) => health.report()[name]?.isReady !== true)
      if (waitsFor.length === 0) return
      if (performance.now() > deadlineMs) {
        throw late('the roles that serve are not ready', readyWithinMs, waitsFor)
      }
      await this.#intake.untilNews(pollMs, signal)
    }
  }

  /** Everything that follows from what indexer and pod have reported. */
  async #decide(): Promise<void> {
    const { clock } = this.context
    const { known } = this.#intake
    for (;;) {
      const next = decide(this.#document, known, clock.nowMs(), this.#options)
      if (next === null) return
      await this.#write(next)
    }
  }

  async #write(document: ControlDocument): Promise<void> {
    const { topics, clock } = this.context
    await this.#producer.send(controlRecords(topics, document, clock.nowMs()))
    this.#document = document
  }
}

function late(what: string, withinMs: number, waitsFor: readonly string[]): FreshetError {
  const why = waitsFor.join('; ')
  return new FreshetError(
    'TIMEOUT',
    `${what} after ${withinMs / 1_000} s, waiting for: ${why}; the roles' own lines above say what they met`,
  )
}
