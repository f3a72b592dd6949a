import { messageOf } from '../../errors.ts'
import {
  decodeControlDocument,
  decodeDeadLetter,
  decodeEvent,
  decodeExample,
  decodeItem,
  decodeOverride,
  decodeRecallReply,
  decodeRecallRequest,
  decodeReport,
  decodeSnapshotRecord,
} from '../../records/codec.ts'
import { sourceHeartbeatHeader } from '../../records/headers.ts'
import type { TopicNames } from '../../records/topics.ts'
import type { Mapping } from '../../streams/mapping.ts'
import type { SourceRecord } from '../../streams/stage.ts'
import type { Told } from '../../runtime/doctor/told.ts'
import { ifTold, ok, orOk, plural, problem, warning } from './check.ts'
import type { Check, Context, Finding } from './check.ts'

export interface SchemaFacts {
  readonly newest: Told<readonly SourceRecord[]>
  /** By topic, of everything that ingest reads; the name is that in the configuration. */
  readonly mappings: ReadonlyMap<string, { readonly name: string; readonly mapping: Told<Mapping> }>
}

const decoders: Readonly<
  Record<Exclude<keyof TopicNames, 'impressions' | 'clicks'>, (value: Buffer) => unknown>
> = {
  events: decodeEvent,
  items: decodeItem,
  examples: decodeExample,
  overrides: decodeOverride,
  snapshots: decodeSnapshotRecord,
  reports: decodeReport,
  control: decodeControlDocument,
  controlHistory: decodeControlDocument,
  recallRequests: decodeRecallRequest,
  recallReplies: decodeRecallReply,
  deadLetters: decodeDeadLetter,
}

export const schemaChecks: readonly Check<SchemaFacts>[] = [
  {
    name: 'schemas',
    judge: ({ newest }, context) => ifTold(newest, (all) => judgeOwn(all, context)),
  },
  {
    name: 'mappings',
    judge: ({ mappings }) =>
      orOk(
        [...mappings.values()].flatMap(({ name, mapping }) =>
          mapping.isTold
            ? []
            : [
                problem(
                  `sources.${name} cannot be used`,
                  mapping.why,
                  `sources.${name}: correct what is named there`,
                ),
              ],
        ),
        `${plural(mappings.size, 'source')}, mappings compile`,
      ),
  },
  {
    name: 'source-records',
    judge: ({ newest, mappings }, context) =>
      ifTold(newest, (all) => judgeSources(all, mappings, context)),
  },
]

/** One finding a topic: the newest record that this build cannot read. */
function judgeOwn(all: readonly SourceRecord[], { topics, options }: Context): readonly Finding[] {
  const findings: Finding[] = []
  let read = 0
  for (const [name, decode] of Object.entries(decoders)) {
    const topic = topics[name as keyof TopicNames]
    const values = all.filter((record) => record.topic === topic && record.value !== null)
    read += values.length
    const refused = values
      .map((record) => ({ record, why: reasonOf(() => decode(record.value!)) }))
      .findLast(({ why }) => why !== null)
    if (refused === undefined) continue
    const { partition, offset } = refused.record
    findings.push(
      problem(
        `${topic}/${partition}, offset ${offset}: ${refused.why}`,
        'it was written by a newer freshet, or by something else; its reader makes a dead letter of it or passes over it',
        `run the version of freshet that writes it everywhere; npx freshet dead-letters${options} shows what was refused`,
      ),
    )
  }
  return orOk(findings, `the newest ${plural(read, 'record')} of freshet's topics can be read`)
}

function judgeSources(
  all: readonly SourceRecord[],
  mappings: SchemaFacts['mappings'],
  { options }: Context,
): readonly Finding[] {
  return [...mappings].flatMap(([topic, { name, mapping }]) => {
    if (!mapping.isTold) return []
    const records = all.filter(
      (record) => record.topic === topic && record.headers?.[sourceHeartbeatHeader] === undefined,
    )
    const why = records.map((record) => reasonOf(() => mapping.value(record)))
    const refused = why.filter((each) => each !== null)
    if (refused.length === 0) return [ok(`${topic}: ${plural(records.length, 'record')} fit`)]
    const what = `${topic}: ${refused.length} of its newest ${plural(records.length, 'record')} are refused`
    const mend = `correct the producer, or sources.${name}.fields; npx freshet map --check <sample.jsonl> --source ${name}${options} tries it`
    return [warning(what, refused.at(-1)!, mend)]
  })
}

function reasonOf(read: () => unknown): string | null {
  try {
    read()
    return null
  } catch (error) {
    return messageOf(error)
  }
}
