import { delayStages } from '../../metrics/metrics.ts'
import { roleNames } from '../role-names.ts'
import type { Throughput } from './arithmetic.ts'
import { measuredRoles, type BacklogFigures, type MeasuredRole } from './backlog.ts'
import type { GeneratorCeiling } from './generator.ts'
import type { Delay, LiveFigures } from './live.ts'
import type { StepFigure } from './step.ts'

/** What `--json` writes. A part that failed is null, and `notes` says why. */
export interface PipelineReport {
  readonly startedAt: string
  readonly node: string
  readonly system: {
    readonly platform: string
    readonly cpu: string
    readonly cores: number
    /** Processes were pinned: the measured one had a core that neither the broker nor the load used. */
    readonly isPinned: boolean
    /** Of the last minute, at the start: above 0, other work shared the machine. */
    readonly loadAverage: number
  }
  readonly isQuick: boolean
  readonly generator: GeneratorCeiling
  readonly step: readonly StepFigure[]
  readonly backlog: BacklogFigures | null
  readonly targets: readonly Target[]
  readonly live: LiveFigures | null
  readonly notes: readonly string[]
  readonly tookSeconds: number
}

export interface Target {
  readonly role: MeasuredRole
  readonly perSecond: number
  readonly measured: number | null
  readonly isMet: boolean
  /** Rate over that of the bare loop on the same input. */
  readonly shareOfBareLoop: number | null
}

const targetsPerSecond: Readonly<Record<MeasuredRole, number>> = {
  ingest: 25_000,
  joiner: 40_000,
  learner: 20_000,
}

export function targetsOf(backlog: BacklogFigures): Target[] {
  return measuredRoles.map((role) => {
    const measured = backlog.roles[role]?.perSecond ?? null
    const bare = backlog.bareLoops[role]?.perSecond ?? null
    const perSecond = targetsPerSecond[role]
    return {
      role,
      perSecond,
      measured,
      isMet: measured !== null && measured >= perSecond,
      shareOfBareLoop: measured === null || bare === null ? null : measured / bare,
    }
  })
}

const coreShareMin = 0.8

/** What a reader of the figures must know, in sentences. */
export function notesOn(targets: readonly Target[], backlog: BacklogFigures): string[] {
  const notes = targets.flatMap((target) => {
    const { role, measured, perSecond } = target
    if (measured === null) return [`${role}: too few records were done to tell a rate`]
    const throughput = backlog.roles[role]!
    const notes: string[] = []
    if (!target.isMet) {
      notes.push(
        `${role} misses its target: ${count(measured)} of ${count(perSecond)}/s (${percent(measured / perSecond)})`,
      )
    }
    if (throughput.warmUpMs === 0)
      notes.push(`${role}: the backlog was too short to leave the warm-up out`)
    const { coreShare, cpuSecondsPer100k } = throughput
    if (coreShare !== null && cpuSecondsPer100k !== null && coreShare < coreShareMin) {
      notes.push(
        `${role} ran on ${percent(coreShare)} of its core, the rest it waited or others took; a core-second is enough for ${count(100_000 / cpuSecondsPer100k)}`,
      )
    }
    return notes
  })
  return [...backlog.failures, ...notes]
}

/** The report as text. */
export function printReport(report: PipelineReport): string {
  const { system, generator, backlog, live, notes } = report
  const where = `node ${report.node}, ${system.cores} cores of ${system.cpu}, load ${system.loadAverage.toFixed(1)}`
  return [
    `freshet bench pipeline, ${report.startedAt}, ${where}`,
    '',
    ...table(
      ['one core each', 'per second', 'target', 'of target', 'of bare loop', 'CPU-s/100k', 'core'],
      [
        ...report.targets.map((target) => targetRow(target, backlog)),
        ...(backlog === null ? [] : bareRows(backlog, report.isQuick)),
      ],
    ),
    '',
    ...table(
      ['generator', 'events per CPU-second'],
      [
        ['as objects', count(generator.eventsPerSecond)],
        ['as JSON', count(generator.jsonEventsPerSecond)],
      ],
    ),
    '',
    ...table(
      ['step alone', 'onnx, examples per CPU-second', 'TypeScript', 'times as fast'],
      report.step.map(({ batch, negatives, dim, examplesPerSecond: rate, timesFaster }) => [
        `B ${batch}, M ${negatives}, d ${dim}`,
        count(rate.onnx),
        count(rate.typescript),
        timesFaster.toFixed(1),
      ]),
    ),
    pytorchReference,
    '',
    ...(live === null ? [] : liveLines(live)),
    ...notes.map((note) => `note: ${note}`),
    `took ${report.tookSeconds.toFixed(0)} s`,
    '',
  ].join('\n')
}

/** Measured elsewhere, so it is only cited. */
const pytorchReference =
  'For reference, not of this run (one pinned core, B 1024, d 64, in-batch softmax, user rows only, dense layers frozen): PyTorch 2.15 93-104 k/s, onnx 109-119 k/s, ratio 1.08-1.20.'

function targetRow(target: Target, backlog: BacklogFigures | null): string[] {
  const throughput = backlog?.roles[target.role] ?? null
  return [
    target.role,
    count(target.measured),
    count(target.perSecond),
    target.measured === null ? '-' : percent(target.measured / target.perSecond),
    target.shareOfBareLoop === null ? '-' : percent(target.shareOfBareLoop),
    ...cpuColumns(throughput),
  ]
}

function bareRows(backlog: BacklogFigures, isQuick: boolean): string[][] {
  const roles = isQuick ? measuredRoles.slice(0, 1) : measuredRoles
  return roles.map((role) => {
    const throughput = backlog.bareLoops[role]
    const name = `bare loop, input of ${role}`
    return [name, count(throughput?.perSecond ?? null), '', '', '', ...cpuColumns(throughput)]
  })
}

function cpuColumns(throughput: Throughput | null): [string, string] {
  const { cpuSecondsPer100k = null, coreShare = null } = throughput ?? {}
  return [
    cpuSecondsPer100k === null ? '-' : cpuSecondsPer100k.toFixed(2),
    coreShare === null ? '-' : percent(coreShare),
  ]
}

function liveLines(live: LiveFigures): string[] {
  const delays: [string, Delay][] = [
    ...delayStages.map((stage): [string, Delay] => [stage, live.stages[stage]]),
    ['click to user row', live.visible.user],
    ['click to item vector', live.visible.item],
  ]
  const rate = `${count(live.eventsPerSecond)} events/s for ${live.seconds.toFixed(0)} s`
  return [
    ...table(
      [`delay since arrival, ${rate}`, 'p50 ms', 'p99 ms', 'observations'],
      delays.map(([name, { p50Ms, p99Ms, observations }]) => [
        name,
        count(p50Ms),
        count(p99Ms),
        count(observations),
      ]),
    ),
    '',
    ...table(
      ['process', 'RSS MiB', 'peak MiB', 'core'],
      roleNames.map((name) => {
        const usage = live.roles[name]
        if (usage === null) return [name, '-', '-', '-']
        const { rssBytes, peakRssBytes, coreShare } = usage
        return [name, mebibytes(rssBytes), mebibytes(peakRssBytes), percent(coreShare)]
      }),
    ),
    '',
  ]
}

/** The first column to the left, figures to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows]
  const widths = head.map((_, i) => Math.max(...all.map((row) => (row[i] ?? '').length)))
  return all.map((row) =>
    widths
      .map((width, i) => (i === 0 ? (row[i] ?? '').padEnd(width) : (row[i] ?? '').padStart(width)))
      .join('  ')
      .trimEnd(),
  )
}

function count(value: number | null): string {
  return value === null ? '-' : Math.round(value).toLocaleString('en-US')
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0)
}
