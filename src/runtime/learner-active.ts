import fs from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FreshetError } from '../errors.ts'
import { messageOf } from '../errors.ts'
import type { ControlDocument } from '../records/types.ts'
import { isAsFarAs, wantedLineages } from '../streams/learner-lineages.ts'
import type { LineageRole, WantedLineages } from '../streams/learner-lineages.ts'
import { generationId } from './generation/manifest.ts'
import { OverrideLedger } from './learner-ledger.ts'
import { KeptLineage } from './learner-lineage.ts'
import type { SharedParts } from './learner-open.ts'
import { LearnerOwner } from './learner-owner.ts'
import { LearnerReleases } from './learner-releases.ts'
import { learnedBody, learnerReport } from './learner-report.ts'
import { LearnerSession } from './learner-session.ts'
import { Turns } from './learner-turns.ts'
import type { LearnerDeps } from './learner.ts'

const reportMs = 1_000
const stopMs = 5_000
const roles: readonly LineageRole[] = ['live', 'candidate', 'previous']

export interface ActiveHooks {
  /** Another learner has taken over, or it is not known whether: everything has to be dropped. */
  onLost(error: FreshetError): void
  onFatal(error: unknown): void
}

/** The one learner that is active: trains the live generation, the candidate and the previous one side by side. */
export class ActiveLearner {
  readonly #deps: LearnerDeps & SharedParts
  readonly #hooks: ActiveHooks
  readonly #releases: LearnerReleases
  readonly #lineages = new Map<string, KeptLineage>()
  /** Generation -> when it is let go of, which has begun. */
  readonly #closing = new Map<string, Promise<void>>()
  #document: ControlDocument
  #wanted: WantedLineages = { roles: new Map(), untilMs: null }
  #reported = ''
  #isHandingOver = false
  #isStopping = false
  #ticking: NodeJS.Timeout | undefined

  /** Resolves when the learner before is shut out; generations are opened after that. */
  static async open(
    deps: LearnerDeps,
    document: ControlDocument,
    hooks: ActiveHooks,
  ): Promise<ActiveLearner> {
    const { kafka, config, topics } = deps
    const onLost = (error: FreshetError) => hooks.onLost(error)
    const owner = await LearnerOwner.open(kafka, config.kafka.topicPrefix, onLost)
    try {
      const overrides = await OverrideLedger.open(kafka, topics.overrides)
      const shared = { ...deps, owner, overrides, turns: new Turns() }
      const learner = new ActiveLearner(shared, document, hooks)
      learner.follow(document)
      await learner.#findLeftovers()
      return learner
    } catch (error) {
      await owner.close()
      throw error
    }
  }

  private constructor(
    deps: LearnerDeps & SharedParts,
    document: ControlDocument,
    hooks: ActiveHooks,
  ) {
    this.#deps = deps
    this.#document = document
    this.#hooks = hooks
    this.#releases = new LearnerReleases(deps)
    this.#ticking = setInterval(() => this.#tick(), reportMs)
  }

  /** Trains what the document says, and nothing else. */
  follow(document: ControlDocument): void {
    if (this.#isStopping) return
    const { clock, config, overrides } = this.#deps
    this.#document = document
    this.#wanted = wantedLineages(document, clock.nowMs(), config.generations.rollbackWindowMs)
    for (const [generation, lineage] of this.#lineages) {
      const role = this.#wanted.roles.get(generation)
      // What was live is let go of once it has handed over, however short the time to roll back.
      if (role === undefined && lineage.session?.learner.isEvaluating !== true) this.#letGo(lineage)
      else lineage.role = role ?? 'previous'
    }
    for (const generation of overrides.generations) {
      if (!this.#isKept(generation)) this.#release(generation)
    }
    this.#changed()
  }

  /** @param isClean publish and checkpoint what has been learnt */
  async stop(isClean: boolean): Promise<void> {
    this.#isStopping = true
    clearInterval(this.#ticking)
    const { owner, metrics } = this.#deps
    // What waits for Kafka when the time is up must not be waited for.
    const deadline = setTimeout(() => void owner.close(), isClean ? stopMs : 0)
    const ended = this.#endAll(isClean)
    // One that is being opened may wait for a broker that is away.
    if (isClean) await Promise.race([ended, sleep(stopMs + 1_000, undefined, { ref: false })])
    else await ended
    clearTimeout(deadline)
    // Pods are held against the learner that is active.
    metrics.overrideSequence.remove({ role: 'learner' })
    await owner.close()
  }

  async #endAll(isClean: boolean): Promise<void> {
    await this.#releases.close()
    await Promise.all([...this.#lineages.values()].map((lineage) => this.#end(lineage, isClean)))
    await Promise.all(this.#closing.values())
  }

  async #end(lineage: KeptLineage, isClean: boolean): Promise<void> {
    const { session } = lineage
    await lineage.stop(isClean)
    if (isClean && session !== null && lineage.role === 'live') await this.#report([session])
  }

  #tick(): void {
    const { clock, metrics } = this.#deps
    const { untilMs } = this.#wanted
    if (untilMs !== null && clock.nowMs() >= untilMs) this.follow(this.#document)
    for (const role of roles) metrics.lineageLag.set({ lineage: role }, 0)
    const sessions = this.#sessions()
    for (const session of sessions) session.measure()
    void this.#report(sessions)
  }

  /** Something was opened, has failed, published, or is wanted no more. */
  #changed(): void {
    if (this.#isStopping) return
    this.#openWanted()
    void this.#handOver()
    const sessions = this.#sessions()
    const live = sessions.find(({ role }) => role === 'live')
    const state = sessions.map((session) => {
      const { generation, role, progress } = session
      const isCaughtUp = live !== undefined && isAsFarAs(progress, live.progress)
      return [generation, role, progress.isLoaded, isCaughtUp]
    })
    const reported = JSON.stringify(state)
    if (reported === this.#reported) return
    this.#reported = reported
    void this.#report(sessions)
  }

  /** The live generation first: the others must not hold it up. */
  #openWanted(): void {
    const { live } = this.#document
    const first = live === null ? undefined : this.#lineages.get(live)
    const mayOpenOthers = first !== undefined && (first.session !== null || first.isFailing)
    for (const [generation, role] of this.#wanted.roles) {
      if (this.#lineages.has(generation) || (role !== 'live' && !mayOpenOthers)) continue
      this.#lineages.set(generation, this.#keep(generation, role))
    }
  }

  #keep(generation: string, role: LineageRole): KeptLineage {
    const deps = this.#deps
    return new KeptLineage({
      ...{ generation, role, log: deps.log },
      open: async (roleNow, onChange) => {
        await this.#closing.get(generation)
        await this.#releases.spare(generation)
        const { cuts } = this.#document
        const setup = { generation, cuts, role: roleNow }
        const session = await LearnerSession.open(deps, setup, onChange)
        session.mayGoOn = () => this.#mayGoOn(session)
        if (roleNow === 'live') deps.onReady?.()
        return session
      },
      onChange: () => this.#changed(),
      onRefused: (why) => void this.#send('failed', generation, { why }),
      onFatal: (error) => this.#hooks.onFatal(error),
    })
  }

  #letGo(lineage: KeptLineage): void {
    const { generation } = lineage
    this.#lineages.delete(generation)
    const closing = lineage.stop(false).finally(() => {
      this.#closing.delete(generation)
      this.#release(generation)
    })
    this.#closing.set(generation, closing)
  }

  #release(generation: string): void {
    if (this.#isStopping || this.#closing.has(generation)) return
    if (this.#wanted.roles.has(generation) || this.#lineages.has(generation)) return
    this.#releases.add(generation, this.#isKept(generation))
  }

  #isKept(generation: string): boolean {
    return this.#document.kept.includes(generation)
  }

  /** Folders of generations that were let go of while no learner ran, or not to the end. */
  async #findLeftovers(): Promise<void> {
    const dir = path.join(this.#deps.config.stateDir, 'learner')
    for (const name of await fs.readdir(dir).catch(() => [])) {
      if (generationId.safeParse(name).success) this.#release(name)
    }
  }

  /**
   * Figures and the baseline belong to what is live: whoever goes live takes them over. Where windows are learnt, not before the one
   * that was live has learnt as far, so that every example is scored, whichever of the two was faster.
   */
  async #handOver(): Promise<void> {
    const live = this.#sessions().find(({ role }) => role === 'live')
    if (live === undefined || this.#isHandingOver) return
    const others = this.#sessions().filter((session) => session !== live)
    const before = others.find(({ learner }) => learner.isEvaluating) ?? null
    if (live.learner.isEvaluating) {
      if (before !== null) await this.#between(() => before.endEvaluation())
      return this.#letGoOf(before)
    }
    const isComing = [...this.#lineages.values()].some(
      ({ role, session, isFailing }) => role === 'previous' && session === null && !isFailing,
    )
    if (before === null && isComing) return
    const { order } = this.#deps.config.learner
    if (before !== null && order === 'event-time' && !isAsFarAs(before, live)) return
    await this.#between(() => live.beginEvaluation(before?.endEvaluation() ?? null))
    this.#letGoOf(before)
  }

  /**
   * Each window is scored by exactly one lineage, and by which must not depend on how fast they are: what has gone live waits until it
   * is handed the figures, and what was live before learns up to there and no further until it has handed them over.
   */
  #mayGoOn(session: LearnerSession): boolean {
    const { isEvaluating } = session.learner
    if (session.role === 'live') return isEvaluating
    const live = this.#sessions().find(({ role }) => role === 'live')
    return !isEvaluating || live === undefined || !isAsFarAs(session, live)
  }

  /** Of one that was only waited for. */
  #letGoOf(before: LearnerSession | null): void {
    if (before !== null && !this.#wanted.roles.has(before.generation)) this.follow(this.#document)
  }

  async #between(work: () => void): Promise<void> {
    this.#isHandingOver = true
    try {
      await this.#deps.turns.take(true, () => Promise.resolve(work()))
    } finally {
      this.#isHandingOver = false
    }
  }

  #sessions(): LearnerSession[] {
    return [...this.#lineages.values()].flatMap(({ session }) => session ?? [])
  }

  async #report(sessions: readonly LearnerSession[]): Promise<void> {
    const live = sessions.find(({ role }) => role === 'live')
    if (live === undefined) return
    await this.#send('learned', live.generation, learnedBody(live, sessions))
  }

  async #send(kind: string, generation: string, body: Readonly<Record<string, unknown>>) {
    const { owner, log } = this.#deps
    await owner
      .send([learnerReport(this.#deps, kind, generation, body)])
      .catch((error: unknown) => log.debug({ error: messageOf(error) }, 'a report was not sent'))
  }
}
