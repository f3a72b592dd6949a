import type { ControllerReportBodies } from '../records/reports.ts'
import type { ControlDocument, Report } from '../records/types.ts'
import { duration } from './watch-view.ts'

/**
 * What is live, what is on its way and what it waits for, and what a rollback would go back to.
 * @param controller its last report of kind `controlling`; null: none has been heard of lately
 */
export function generationLines(
  control: ControlDocument | null,
  controller: Report | null,
  nowMs: number,
): string[] {
  if (control === null) return ['live       none: no controller has written a control document yet']
  const { live, candidate, previous, states, liveSinceMs, epoch } = control
  const said = controller?.body as ControllerReportBodies['controlling'] | undefined
  const since = liveSinceMs === 0 ? '' : `, for ${duration(nowMs - liveSinceMs)}`
  const unknown = 'no controller has reported lately, so nothing will change'
  const waits = said === undefined ? [unknown] : said.waitsFor
  const untilMs = said?.rollbackUntilMs ?? 0
  const rollback =
    untilMs > nowMs
      ? `freshet rollback goes back to it until ${new Date(untilMs).toISOString()}`
      : 'no longer kept trained, so there is no rollback'
  return [
    `live       ${live ?? 'none'}${since} (epoch ${epoch})`,
    `candidate  ${candidate === null ? 'none' : `${candidate}, ${states[candidate]}`}`,
    ...(candidate === null ? [] : waits.map((line) => `           waits: ${line}`)),
    previous === null
      ? 'previous   none'
      : `previous   ${previous}, ${states[previous]}; ${said === undefined ? unknown : rollback}`,
    ...(said?.alerts ?? []).map((alert) => `ALERT      ${alert}`),
  ]
}
