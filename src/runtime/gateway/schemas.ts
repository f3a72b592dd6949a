import { z } from 'zod'
import { idBytesMax, isoFormat, itemsMax, timeMsMax } from '../../records/fields.ts'

/**
 * Bodies of the gateway as zod schemas, of which the OpenAPI document is made. A recall is checked by its schema. Events are only
 * described: what decides about them is ingest's own reader, and a test holds the description to it.
 */

const anId = `a non-empty string of at most ${idBytesMax} bytes, or an integer within 2^53`

const error = `expected ${anId}`
const id = z.union([z.string().min(1, error).max(idBytesMax, error), z.int()], error).describe(anId)

const time = z
  .union([z.int().min(0).max(timeMsMax), z.string().regex(isoFormat)])
  .describe('milliseconds since 1970, or ISO 8601 with a zone')

const text = z.union([z.string().max(idBytesMax), z.number()]).nullish()

const category = z.union([z.string(), z.number(), z.boolean()])

export const features = z
  .strictObject({
    categorical: z.record(z.string(), z.union([category, z.array(category)]).nullable()).nullish(),
    numeric: z.record(z.string(), z.number().nullable()).nullish(),
    dense: z.record(z.string(), z.array(z.number()).nullable()).nullish(),
  })
  .describe('by name, as they are at request time; numbers travel as float32')

export const impression = z
  .object({
    request_id: id,
    user_id: id,
    event_time: time,
    scenario: text.describe('where the page was shown'),
    items: z.array(id).min(1).max(itemsMax).describe('in the order shown'),
    eliminated: z.array(id).max(itemsMax).nullish().describe('a sample of what ranking dropped'),
    features: features.nullish(),
  })
  .describe('One page shown to one user.')

export const click = z
  .object({
    request_id: id,
    user_id: id,
    item_id: id,
    event_time: time,
    action: text.describe('what the user did; `click` when left out'),
    weight: z.number().positive().nullish().describe('of the example; 1 when left out'),
  })
  .describe('One item of that page chosen by the user.')

export const accepted = z
  .object({ accepted: z.int().min(1) })
  .describe('How many events Kafka has acknowledged: all of the request.')

export const recallRequest = z.strictObject({
  user_id: id,
  k: z
    .int()
    .min(1)
    .max(2 ** 31 - 1)
    .describe('how many items; at most recall.kMax of the pods'),
  features: features.nullish(),
  scenario: z.string().default('').describe('where the page is shown'),
  exclude: z.array(id).max(itemsMax).default([]).describe('items that must not come back'),
  filter: z
    .strictObject({ feature: z.string().min(1), values: z.array(z.string()).min(1) })
    .nullish()
    .describe('only items with one of these values of a categorical item feature'),
  timeout_ms: z.int().min(1).max(60_000).default(1_000),
})

const moment = z.string().meta({ format: 'date-time' }).nullable()

export const recallReply = z.object({
  status: z
    .enum(['OK', 'COLD_USER', 'DEGRADED'])
    .describe('whose row the items are from: the user, a new user, or the last one known'),
  message: z.string().describe('why, where the status is not OK'),
  items: z
    .array(
      z.object({
        item_id: z.string(),
        score: z.number().describe('cosine of user and item'),
        title: z.string(),
      }),
    )
    .describe('best first'),
  generation: z.string().describe('the one generation that everything here comes from'),
  override_sequence: z.int().describe('newest set of item overrides in it'),
  user_event_time: moment.describe('of the newest click in the row of the user; null: none'),
  user_offset: z
    .int()
    .nullable()
    .describe('of its training example; -1: as the generation came; null: the row of a new user'),
  learned_through: moment.describe('clicks of the partition are learned so far; null: unknown'),
})
export type RecallReplyBody = z.infer<typeof recallReply>

export const probe = z.object({ status: z.enum(['live', 'ready']) })

export const problem = z
  .object({
    type: z.string().describe('names the kind of problem; docs/gateway.md lists them'),
    title: z.string(),
    status: z.int().min(400).max(599),
    detail: z.string().describe('what is wrong here, and what to do'),
    instance: z.string().describe('names this answer; the log has it where the fault is ours'),
    errors: z
      .array(
        z.object({
          pointer: z.string().describe('JSON pointer into the request body'),
          detail: z.string(),
        }),
      )
      .optional(),
  })
  .describe('Problem details (RFC 9457).')
export type ProblemBody = z.infer<typeof problem>
