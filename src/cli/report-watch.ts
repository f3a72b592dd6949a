import { messageOf } from '../errors.ts'
import { decodeReport } from '../records/codec.ts'
import type { RecallFigures } from '../model/evaluation.ts'
import type { ArchivingBody, ControllerReportBodies, ReportBodies } from '../records/reports.ts'
import type { Report } from '../records/types.ts'
import type { KafkaClient, Logger, Tail } from '../runtime/ports.ts'

/** What the learner reports, as far as a run needs it. */
export interface Learned extends Pick<ReportBodies['learned'], 'lineages'> {
  /** Live, as far as the learner has heard. */
  readonly generation: string
  readonly lag: number
  readonly counters: { readonly examples: number }
  readonly figures: { readonly all: RecallFigures; readonly popularity24h: RecallFigures }
}

/** The newest reports of the roles that a run waits for, from the topic: the same whichever process they run in. */
export class ReportWatch {
  learned: Learned | null = null
  /** Null: no full update is running that has been heard of. */
  training: ReportBodies['training'] | null = null
  /** No full update is to come, until there is a generation that can be trained. */
  isFrozen = false
  /** What the candidate waits for, as the controller says it. */
  waitsFor: readonly string[] = []
  /** Called after each report. */
  onReport: () => void = () => {}
  #waiting: ((report: Learned | null) => void)[] = []
  #tail: Tail | null = null

  static async open(kafka: KafkaClient, topic: string, log: Logger): Promise<ReportWatch> {
    const watch = new ReportWatch()
    watch.#tail = await kafka.tail({
      topics: [topic],
      from: 'latest',
      onBatch: (batch) => {
        for (const { value } of batch.records) {
          try {
            if (value !== null) watch.#take(decodeReport(value))
          } catch (error) {
            log.warn({ error: messageOf(error) }, 'a report cannot be read and is passed over')
          }
        }
      },
    })
    return watch
  }

  /** The learner's next report to come, or null when the signal ends the wait. */
  nextLearned(signal: AbortSignal): Promise<Learned | null> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      signal.addEventListener('abort', () => resolve(null), { once: true })
    })
  }

  async close(): Promise<void> {
    await this.#tail?.close()
  }

  #take({ role, kind, generation, body }: Report): void {
    switch (`${role}/${kind}`) {
      case 'learner/learned':
        this.learned = { ...(body as unknown as Omit<Learned, 'generation'>), generation }
        for (const resolve of this.#waiting.splice(0)) resolve(this.learned)
        break
      case 'compactor/archiving':
        this.isFrozen = (body as ArchivingBody).waiting !== undefined
        break
      case 'compactor/training':
        this.training = body as ReportBodies['training']
        break
      case 'compactor/trained':
        this.training = null
        break
      case 'controller/controlling':
        this.waitsFor = (body as ControllerReportBodies['controlling']).waitsFor
        break
      default:
        return
    }
    this.onReport()
  }
}
