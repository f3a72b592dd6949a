import type { Click, Example, Impression } from '../records/types.ts'
import type { Located } from '../streams/explain.ts'
import type { Passport, PassportStep } from './api.ts'

/** What the topics, the store and the reports say about one click. null: not found, or not known. */
export interface PassportFacts {
  readonly userId: string
  readonly requestId: string
  readonly itemId: string | null
  readonly title: string
  readonly impression: Located<Pick<Impression, 'eventTimeMs'>> | null
  readonly click: Located<Pick<Click, 'eventTimeMs'>> | null
  readonly example: Located<Pick<Example, 'eventTimeMs' | 'position'>> | null
  readonly live: string | null
  /** First offset of the user's partition that the full update behind the live generation has not learnt; 0 without one. */
  readonly trainedOffset: number
  /** First offset that the live generation has not learnt, with what it has learned online. */
  readonly learnedOffset: number | null
  /** When the learner first reported to be past the example; null: it was before the reports that were read. */
  readonly learnedAtMs: number | null
  /** Offset of the newest example in the user's row. */
  readonly rowOffset: number | null
  /** The newest override of the item in the live generation; set-end times are not recorded. */
  readonly override: { readonly sequence: number; readonly eventTimeMs: number } | null
  readonly reply: {
    readonly atMs: number
    readonly correlationId: string
    readonly generation: string
    readonly overrideSequence: number
  } | null
  /** Replies to this user after the click that were looked at. */
  readonly repliesSeen: number
  readonly scanned: string
}

/** The way of one click, step by step; each says what is known, and what is not. */
export function passportOf(facts: PassportFacts): Passport {
  const { userId, requestId, itemId, title } = facts
  const steps = [pageStep(facts), arrivalStep(facts), eventStep(facts), exampleStep(facts)]
  return {
    ...{ userId, requestId, itemId, title },
    steps: [...steps, learntStep(facts), rowStep(facts), overrideStep(facts), replyStep(facts)],
  }
}

interface StepParts {
  readonly outcome: PassportStep['outcome']
  readonly atMs?: number | null
  readonly text: string
}

function step(
  name: string,
  { click, example }: PassportFacts,
  command: string,
  { outcome, atMs = null, text }: StepParts,
): PassportStep {
  const arrivedMs = click?.arrivedMs ?? example?.arrivedMs ?? null
  const sinceArrivalMs = atMs === null || arrivedMs === null ? null : atMs - arrivedMs
  return { name, outcome, atMs, sinceArrivalMs, text, command }
}

function place({ partition, offset }: Located<unknown>): string {
  return `partition ${partition}, offset ${offset}`
}

function pageStep(facts: PassportFacts): PassportStep {
  const { impression, scanned } = facts
  return step(
    'Page shown',
    facts,
    'freshet events --last 1000',
    impression === null
      ? { outcome: 'unknown', text: `not among ${scanned}` }
      : {
          outcome: 'done',
          atMs: impression.record.eventTimeMs,
          text: `events, ${place(impression)}; time of the event`,
        },
  )
}

function arrivalStep(facts: PassportFacts): PassportStep {
  const found = facts.click ?? facts.example
  return step(
    'Click arrived',
    facts,
    'freshet events --last 1000',
    found === null
      ? { outcome: 'unknown', text: `no click of this request among ${facts.scanned}` }
      : {
          outcome: 'done',
          atMs: found.arrivedMs,
          text: 'the time the broker gave its record; every delay counts from here',
        },
  )
}

function eventStep(facts: PassportFacts): PassportStep {
  const { click, example, scanned } = facts
  const text =
    click !== null
      ? `events, ${place(click)}; when ingest was done is not recorded`
      : example !== null
        ? `it was one, for there is an example, but it is not among ${scanned}`
        : `not among ${scanned}; a click that ingest refused is a dead letter`
  const outcome = click === null && example === null ? 'unknown' : 'done'
  return step('Event', facts, 'freshet events --last 1000', { outcome, text })
}

function exampleStep(facts: PassportFacts): PassportStep {
  const { click, example, scanned } = facts
  const command = 'freshet examples --last 1000'
  if (example !== null) {
    const text = `examples, ${place(example)}; place ${example.record.position + 1} on its page; when it was joined is not recorded`
    return step('Training example', facts, command, { outcome: 'done', text })
  }
  const text =
    click === null
      ? `not among ${scanned}`
      : 'not joined yet, or refused by the joiner: see the dead letters'
  return step('Training example', facts, command, {
    outcome: click === null ? 'unknown' : 'waiting',
    text,
  })
}

function learntStep(facts: PassportFacts): PassportStep {
  const { example, live, trainedOffset, learnedOffset, learnedAtMs } = facts
  const of = (parts: StepParts) => step('Learnt', facts, 'freshet status --json', parts)
  if (example === null)
    return of({ outcome: 'unknown', text: 'without its example nobody can say' })
  if (live === null) return of({ outcome: 'waiting', text: 'no generation is live' })
  if (example.offset < trainedOffset) {
    return of({ outcome: 'done', text: `in the full update behind ${live}, with all of its day` })
  }
  if (learnedOffset === null) {
    return of({ outcome: 'unknown', text: `no learner has reported how far ${live} is` })
  }
  if (learnedOffset <= example.offset) {
    const behind = example.offset - learnedOffset + 1
    return of({ outcome: 'waiting', text: `${behind} records before the learner is past it` })
  }
  const when =
    learnedAtMs === null
      ? 'when is not known: it was before the reports that were read'
      : 'by the first report that says so; reports come once a second'
  return of({ outcome: 'done', atMs: learnedAtMs, text: `in ${live}; ${when}` })
}

function rowStep(facts: PassportFacts): PassportStep {
  const { example, rowOffset } = facts
  const of = (parts: StepParts) =>
    step('In the row of the user', facts, `freshet recall --user ${shellWord(facts.userId)}`, parts)
  if (example === null)
    return of({ outcome: 'unknown', text: 'without its example nobody can say' })
  if (rowOffset === null) {
    return of({ outcome: 'unknown', text: 'there is no row, or the online store was not reached' })
  }
  if (example.offset < facts.trainedOffset) {
    return of({ outcome: 'done', text: 'the generation came with it' })
  }
  if (rowOffset < example.offset) {
    return of({ outcome: 'waiting', text: `the row is as of offset ${rowOffset}` })
  }
  return of({
    outcome: 'done',
    text: `the row is as of offset ${rowOffset}, which includes it; when it was written is not recorded`,
  })
}

function overrideStep(facts: PassportFacts): PassportStep {
  const { example, override } = facts
  const of = (parts: StepParts) =>
    step('In the vector of the item', facts, 'freshet status --json', parts)
  if (example === null)
    return of({ outcome: 'unknown', text: 'without its example nobody can say' })
  if (example.offset < facts.trainedOffset) {
    return of({
      outcome: 'done',
      text: 'the indexed vector has it: the generation was trained on it',
    })
  }
  if (override === null || override.eventTimeMs < example.record.eventTimeMs) {
    return of({
      outcome: 'unknown',
      text: 'no override set has it: the vector is as indexed, or moved too little to be sent (learner.skewEpsilon)',
    })
  }
  return of({
    outcome: 'done',
    text: `override set ${override.sequence} or one before it; only the newest of each item is kept`,
  })
}

function replyStep(facts: PassportFacts): PassportStep {
  const { reply, repliesSeen, userId } = facts
  const of = (parts: StepParts) =>
    step('First reply that used it', facts, `freshet recall --user ${shellWord(userId)}`, parts)
  if (facts.example === null) {
    return of({ outcome: 'unknown', text: 'without its example nobody can say' })
  }
  if (reply === null) {
    const text =
      repliesSeen === 0
        ? 'nobody has asked for this user since, among the newest requests'
        : `none of the ${repliesSeen} replies to this user that are still kept in view`
    return of({ outcome: 'waiting', text })
  }
  const { generation, overrideSequence, atMs } = reply
  const text = `${generation}, override set ${overrideSequence}; among the newest requests that were looked at`
  return of({ outcome: 'done', atMs, text })
}

/** An id in a command that can be copied. */
function shellWord(text: string): string {
  return /^[\w.@:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
