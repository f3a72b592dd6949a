import type { ControllerReportBodies } from '../../records/reports.ts'
import { snapshotKey } from '../../records/snapshot-codec.ts'
import type { Report } from '../../records/types.ts'
import type { ControlFacts, LiveSnapshot } from '../../runtime/doctor/control.ts'
import { ifTold, ok, orOk, plural, problem, seconds, warning } from './check.ts'
import type { Check, Context, Finding } from './check.ts'

/** Roles repeat their reports each second. */
const silentMs = 10_000
const reporting = { compactor: 'compactor', indexer: 'indexer', learner: 'learner', recall: 'pod' }

export const controlChecks: readonly Check<ControlFacts>[] = [
  {
    name: 'live-generation',
    judge: ({ document }, { options }) => {
      if (document === null) {
        const why = 'nothing says which generation is live, so nothing is served'
        return [warning('no control document yet', why, `npx freshet controller${options}`)]
      }
      const { live, epoch } = document
      return [
        live === null
          ? warning(
              'no generation is live',
              'pods answer NO_GENERATION',
              `npx freshet status${options} says what the first one waits for`,
            )
          : ok(`${live} is live (epoch ${epoch})`),
      ]
    },
  },
  {
    name: 'controller',
    judge: ({ reports }, context) => {
      const age = youngestMs(reports, 'controller', context)
      if (age <= silentMs) return [ok(`controller: heard of ${seconds(age)} ago`)]
      const why = 'without one no generation is switched and no day is cut'
      const mend = `npx freshet controller${context.options}`
      return [warning(`controller: ${silence(age)}`, why, mend)]
    },
  },
  {
    name: 'roles',
    judge: ({ reports }, context) =>
      Object.entries(reporting).map(([role, command]) => {
        const age = youngestMs(reports, role, context)
        if (age <= silentMs) return ok(`${command}: heard of ${seconds(age)} ago`)
        const mend = `npx freshet ${command}${context.options}`
        return warning(
          `${command}: ${silence(age)}`,
          `no ${command} runs, or it cannot write`,
          mend,
        )
      }),
  },
  { name: 'alerts', judge: judgeAlerts },
  { name: 'pods', judge: judgePods },
  {
    name: 'day-cuts',
    judge: ({ document }, { config }) =>
      orOk(
        Object.entries(document?.cuts ?? {})
          .filter(([, cut]) => cut.length !== config.kafka.partitions)
          .slice(-1)
          .map(([day, cut]) =>
            problem(
              `the cut of ${day} is of ${plural(cut.length, 'partition')}, configured are ${config.kafka.partitions}`,
              'no generation can start from it',
              `kafka.partitions: ${cut.length}`,
            ),
          ),
        'cuts fit the partitions',
      ),
  },
  {
    name: 'snapshot',
    judge: ({ document, snapshot }, { options }) =>
      ifTold(snapshot, (found) => {
        const live = document?.live ?? null
        if (live === null) return [ok('no snapshot is needed yet')]
        const what = found === null ? 'none is in the topic' : missingOf(found)
        if (what === null) {
          return [ok(`snapshot of ${live} is whole (revision ${found!.manifest.revision})`)]
        }
        // Where there is a manifest the indexer takes it for sent; a new revision is a whole one.
        const again = found === null ? '' : ' --set index.overridesMax=1'
        const mend = `npx freshet indexer${options}${again}`
        return [problem(`snapshot of ${live}: ${what}`, 'a pod that starts cannot load it', mend)]
      }),
  },
]

/** Infinity: never heard of. */
function youngestMs(reports: readonly Report[], role: string, { nowMs }: Context): number {
  return Math.min(
    ...reports.filter((one) => one.role === role).map(({ atMs }) => Math.max(0, nowMs - atMs)),
  )
}

function silence(ageMs: number): string {
  return Number.isFinite(ageMs) ? `last heard of ${seconds(ageMs)} ago` : 'never heard of'
}

function judgeAlerts(
  { document, reports }: ControlFacts,
  { nowMs, options }: Context,
): readonly Finding[] {
  const said = reports
    .filter(
      ({ role, kind, atMs }) =>
        role === 'controller' && kind === 'controlling' && nowMs - atMs <= silentMs,
    )
    .map(({ body }) => body as unknown as ControllerReportBodies['controlling'])
  const candidate = document?.candidate ?? null
  return orOk(
    said.flatMap(({ alerts, waitsFor }) =>
      alerts.map((alert) =>
        problem(
          alert,
          waitsFor.length === 0
            ? 'the controller cannot go on'
            : `it waits: ${waitsFor.join('; ')}`,
          candidate === null
            ? `npx freshet status${options}`
            : `see to what it waits for, or npx freshet reject ${candidate}${options}`,
        ),
      ),
    ),
    candidate === null ? 'no candidate, no alerts' : `${candidate} is on its way, no alerts`,
  )
}

function judgePods(
  { reports }: ControlFacts,
  { config, nowMs, options }: Context,
): readonly Finding[] {
  const pods = new Set(
    reports
      .filter(({ role, atMs }) => role === 'recall' && nowMs - atMs <= silentMs)
      .map(({ instance }) => instance),
  )
  const { readyPods } = config.generations
  if (pods.size >= readyPods)
    return [ok(`${plural(pods.size, 'pod')}, ${readyPods} needed for a switch`)]
  const why = 'a candidate goes live only when so many pods have verified it'
  const mend = `npx freshet pod${options}, or generations.readyPods: ${Math.max(1, pods.size)}`
  return [warning(`${plural(pods.size, 'pod')}, ${readyPods} needed for a switch`, why, mend)]
}

/** Null: nothing is. */
function missingOf({ manifest, keys }: LiveSnapshot): string | null {
  if (manifest.reference !== null) return null
  const { generation, revision } = manifest
  const there = new Set(keys)
  const missing = manifest.parts.flatMap(({ part, chunks }) =>
    Array.from({ length: chunks }, (_, number) =>
      snapshotKey({ generation, revision, chunk: { part, number } }),
    ).filter((key) => !there.has(key)),
  )
  return missing.length === 0
    ? null
    : `${plural(missing.length, 'chunk')} missing, e.g. ${missing[0]}`
}
