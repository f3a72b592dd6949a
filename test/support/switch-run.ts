import { setTimeout as sleep } from 'node:timers/promises'
import { RecallProbe, type ProbeCounts } from '../../src/cli/recall-probe.ts'
import { bucketsOf, parseExposition } from '../../src/metrics/exposition.ts'
import type { Config } from '../../src/config/schema.ts'
import type { RecallStatus } from '../../src/runtime/recall-client.ts'
import type { ControlDocument, Features } from '../../src/records/types.ts'
import { watchControl } from '../../src/runtime/control.ts'
import type { SourceEvent } from '../../src/streams/source-event.ts'
import { bootstrapGeneration, writeGeneration } from '../../src/runtime/generation/generation.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import { createGenerator } from '../../src/streams/generator/generator.ts'
import { fullUpdateOf } from '../../src/cli/evaluate/full-update-of.ts'
import { dayMs, joinedDays } from '../../src/cli/evaluate/joined-days.ts'
import { liveSystem, type LiveSystem } from './live-system.ts'
import { silentLog, type OnEnd } from './own-servers.ts'

export interface SwitchPlan {
  readonly brokers: readonly string[]
  readonly redisUrl: string
  readonly seed: number
  readonly eventsPerSecond: number
  readonly recallsPerSecond: number
  /** How much of the world's past the first generation has learnt; 0: it is random. */
  readonly historyMs: number
  /** Configuration, section by section. */
  readonly settings: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** Wall time from the first event to the end of the day. */
  readonly dayMs: number
  /** How long after that the compactor is started: in production a full update takes hours. */
  readonly lateMs: number
  /** How long is watched after the switch. */
  readonly afterMs: number
  readonly hasCatchUp: boolean
  readonly onProgress: (message: string) => void
}

/** One recall that was asked for just before its user clicked `clicked`. */
export interface Question {
  /** Since the first event. */
  readonly atMs: number
  readonly userId: string
  /** 'none': no reply within its timeout. */
  readonly status: RecallStatus | 'none'
  readonly generation: string
  readonly isHit: boolean
  readonly latencyMs: number
}

export interface SwitchRun {
  readonly questions: readonly Question[]
  /** Since the first event. */
  readonly switchedAtMs: number
  readonly switched: Turn
  /** `freshet rollback` at the end. */
  readonly rolledBack: Turn
  /** Checked from outside all along, each against its generation. */
  readonly replies: ProbeCounts
  /** Visible delay of the clicks of each second, as a histogram's buckets grew. */
  readonly visible: readonly { readonly atMs: number; readonly buckets: readonly Bucket[] }[]
}

/** From the document that names a generation to the first reply of it, and to the last reply of the one before. */
export interface Turn {
  readonly firstReplyMs: number
  readonly lastOldReplyMs: number
}

interface Bucket {
  readonly upTo: number
  readonly count: number
}

const k = 50
const recentMax = 50
const timeoutMs = 2_000
const firstId = 'history'
const switchWithinMs = 240_000
const rollbackWithinMs = 30_000
const watchRollbackMs = 10_000

/**
 * The generated world passes midnight under load. Some time later the full update of the day makes the next generation, which goes live
 * beside the traffic. Every reply is asked for from outside, about a click that is just going to happen.
 */
export async function switchRun(onEnd: OnEnd, plan: SwitchPlan): Promise<SwitchRun> {
  const startedMs = Date.now()
  const midnightMs = Math.floor(startedMs / 86_400_000) * 86_400_000
  const shiftMs = startedMs - (midnightMs - plan.dayMs)
  const asking = new Asking(plan)
  const system = await liveSystem(onEnd, {
    ...{ brokers: plan.brokers, redisUrl: plan.redisUrl },
    ...{ seed: plan.seed, eventsPerSecond: plan.eventsPerSecond },
    clock: { nowMs: () => Date.now() - shiftMs },
    settings: {
      ...plan.settings,
      generations: { catchUp: plan.hasCatchUp, first: plan.historyMs > 0 ? firstId : null },
    },
    prepare: ({ config }) => {
      const history = historyOf(plan, midnightMs - plan.dayMs)
      for (const event of history) asking.onEvent(event)
      const day = new Date(midnightMs - 2 * dayMs).toISOString().slice(0, 10)
      return writeHistory(config, history, day)
    },
    onEvent: (event) => asking.onEvent(event),
  })
  const { target } = system
  asking.start(system)
  const control = await followControl(onEnd, system)
  const first = control.current.live!
  const probe = await RecallProbe.start({ ...target, log: silentLog }, () => control.current.live)
  onEnd(() => probe.stop())
  const visible = watchVisible(onEnd, system, () => asking.nowMs())
  await sleep(plan.dayMs + plan.lateMs)
  plan.onProgress('the day is over: starting the compactor')
  const compactor = target.role('compactor')
  await compactor.waitForLog(({ msg }) => typeof msg === 'string')
  await control.until(({ live }) => live !== first, switchWithinMs)
  const next = control.current.live!
  const switchedAtMs = control.changedAtMs - asking.startedMs
  plan.onProgress(`switched to ${next} after ${Math.round(switchedAtMs)} ms`)
  await sleep(plan.afterMs)
  plan.onProgress('rolling back')
  const { code, stdout, stderr } = await target.run('rollback')
  if (code !== 0) throw new Error(`freshet rollback ended with ${code}: ${stdout}${stderr}`)
  await control.until(({ live }) => live === first, rollbackWithinMs)
  const rolledBackAtMs = control.changedAtMs - asking.startedMs
  await sleep(watchRollbackMs)
  const questions = await asking.stop()
  return {
    ...{ questions, switchedAtMs, replies: probe.counts, visible: visible.seconds },
    switched: turnAt(questions, switchedAtMs, rolledBackAtMs, next),
    rolledBack: turnAt(questions, rolledBackAtMs, Infinity, first),
  }
}

function historyOf(plan: SwitchPlan, untilMs: number): SourceEvent[] {
  const { seed, eventsPerSecond, historyMs } = plan
  if (historyMs === 0) return []
  const generator = createGenerator({ seed, eventsPerSecond })
  const events = [...generator.events({ fromMs: untilMs - historyMs, untilMs })]
  // Clicks of its last pages come later, as if they had not been made.
  return events.filter(({ eventTimeMs }) => eventTimeMs < untilMs)
}

/** The first generation, which has learnt these events as those of the day before. */
async function writeHistory(config: Config, events: readonly SourceEvent[], day: string) {
  if (events.length === 0) return
  const learnt = await firstOf(joinedDays(events, config.joiner, dayMs))
  const { seed, engine: _, ...model } = config.model
  const random = bootstrapGeneration('random', model, seed, 0)
  const { generation } = await fullUpdateOf(random, { ...learnt, day }, config)
  const store = openDirectoryStore(config.artifacts.dir)
  await writeGeneration(store, { ...generation, id: firstId, parent: null })
}

async function firstOf<T>(values: AsyncGenerator<T>): Promise<T> {
  const { value } = await values.next()
  return value as T
}

/** Of the replies that came after `fromMs`; those before it show only the generation before. */
function turnAt(
  questions: readonly Question[],
  fromMs: number,
  untilMs: number,
  generation: string,
): Turn {
  const replied = questions
    .filter((question) => question.generation !== '')
    .map((question) => ({ ...question, repliedAtMs: question.atMs + question.latencyMs }))
    .filter(({ repliedAtMs }) => repliedAtMs >= fromMs && repliedAtMs < untilMs)
    .sort((a, b) => a.repliedAtMs - b.repliedAtMs)
  const first = replied.find((question) => question.generation === generation)
  const old = replied.findLast((question) => question.generation !== generation)
  return {
    firstReplyMs: (first?.repliedAtMs ?? Infinity) - fromMs,
    lastOldReplyMs: (old?.repliedAtMs ?? fromMs) - fromMs,
  }
}

async function followControl(onEnd: OnEnd, { target: { kafka, topics } }: LiveSystem) {
  const found: { current: ControlDocument | null; changedAtMs: number } = {
    ...{ current: null, changedAtMs: 0 },
  }
  const watch = await watchControl(kafka, topics.control, silentLog, (document) => {
    if (document.live !== found.current?.live) found.changedAtMs = performance.now()
    found.current = document
  })
  onEnd(() => watch.close())
  return {
    get current() {
      return found.current!
    },
    get changedAtMs() {
      return found.changedAtMs
    },
    until: async (isWanted: (document: ControlDocument) => boolean, withinMs: number) => {
      const deadlineMs = performance.now() + withinMs
      while (!isWanted(found.current!)) {
        if (performance.now() > deadlineMs) {
          throw new Error(`after ${withinMs} ms the control document is ${JSON.stringify(found)}`)
        }
        await sleep(5)
      }
    },
  }
}

/** Takes the learner's histogram each second; what it grew by belongs to that second. */
function watchVisible(onEnd: OnEnd, { roles }: LiveSystem, nowMs: () => number) {
  const seconds: { atMs: number; buckets: Bucket[] }[] = []
  let before: readonly Bucket[] = []
  const take = async (): Promise<void> => {
    const page = parseExposition(await roles.learner.metrics())
    const now = bucketsOf(page, 'freshet_visible_delay_seconds', { side: 'user' })
    const buckets = now.map(({ upTo, count }, i) => ({
      upTo,
      count: count - (before[i]?.count ?? 0),
    }))
    if (before.length > 0) seconds.push({ atMs: nowMs(), buckets })
    before = now
  }
  const timer = setInterval(() => void take().catch(() => undefined), 1_000)
  onEnd(() => {
    clearInterval(timer)
    return Promise.resolve()
  })
  return { seconds }
}

/** Asks for the user of a click that is about to be sent, as often as the plan says. */
class Asking {
  readonly #plan: SwitchPlan
  readonly #features = new Map<string, Features>()
  readonly #recent = new Map<string, string[]>()
  readonly #questions: Question[] = []
  readonly #running = new Set<Promise<void>>()
  #system: LiveSystem | null = null
  startedMs = 0
  #asked = 0

  constructor(plan: SwitchPlan) {
    this.#plan = plan
  }

  nowMs(): number {
    return performance.now() - this.startedMs
  }

  start(system: LiveSystem): void {
    this.startedMs = performance.now()
    this.#system = system
  }

  async stop(): Promise<readonly Question[]> {
    this.#system = null
    await Promise.all(this.#running)
    return this.#questions
  }

  onEvent(event: SourceEvent): void {
    if (event.kind === 'item') return
    if (event.kind === 'impression') {
      this.#features.set(event.userId, event.features)
      return
    }
    const { userId, itemId } = event
    const recent = this.#recent.get(userId) ?? []
    if (!recent.includes(itemId) && this.#isDue()) this.#ask(userId, itemId)
    this.#recent.set(userId, [itemId, ...recent.filter((id) => id !== itemId)].slice(0, recentMax))
  }

  #isDue(): boolean {
    if (this.#system === null) return false
    if (this.#asked >= (this.nowMs() * this.#plan.recallsPerSecond) / 1_000) return false
    this.#asked++
    return true
  }

  #ask(userId: string, itemId: string): void {
    const atMs = this.nowMs()
    const { categorical } = this.#features.get(userId)!
    const query = {
      userId,
      k,
      timeoutMs,
      features: { categorical: Object.fromEntries(categorical) },
    }
    const question = this.#system!.client.recall(query).then(
      ({ status, generation, items, latencyMs }) => {
        const isHit = items.some((item) => item.itemId === itemId)
        this.#questions.push({ atMs, userId, status, generation, isHit, latencyMs })
      },
      () => {
        const failed = {
          status: 'none',
          generation: '',
          isHit: false,
          latencyMs: timeoutMs,
        } as const
        this.#questions.push({ atMs, userId, ...failed })
      },
    )
    this.#running.add(question)
    void question.finally(() => this.#running.delete(question))
  }
}
