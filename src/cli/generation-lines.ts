import type { ControllerReportBodies } from '../records/reports.ts'
import type { ControlDocument, Report } from '../records/types.ts'
import { duration } from './duration.ts'
import { previousText } from './watch-view.ts'

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
  const { live, candidate, states, liveSinceMs, epoch } = control
  const said = (controller?.body ?? null) as ControllerReportBodies['controlling'] | null
  const since = liveSinceMs === 0 ? '' : `, for ${duration(nowMs - liveSinceMs)}`
  const alerts = said?.alerts ?? [
    'no controller has reported lately: nothing changes until one runs',
  ]
  return [
    `live       ${live ?? 'none'}${since} (epoch ${epoch})`,
    `candidate  ${candidate === null ? 'none' : `${candidate}, ${states[candidate]}`}`,
    ...(candidate === null
      ? []
      : (said?.waitsFor ?? []).map((line) => `           waits: ${line}`)),
    `previous   ${previousText(control, said, nowMs)}`,
    ...alerts.map((alert) => `ALERT      ${alert}`),
  ]
}
