import { FreshetError, messageOf } from '../errors.ts'
import { whenAborted } from '../runtime/when-aborted.ts'
import { withTimeout } from '../runtime/with-timeout.ts'
import type { RoleContext } from './role-context.ts'
import type { RoleName } from './role-names.ts'

/** What a role may take to end once it is told to: longer than each wait that it bounds itself. */
export const endWithinMs = 10_000

/** What the next start does again where a role could not finish; offsets, transactions and checkpoints say from where. */
const repeated: Readonly<Record<RoleName, string>> = {
  compactor: 'archiving what came after the last file of the archive',
  controller: 'deciding what came after the last control document',
  gateway: 'nothing: whoever had no reply sends again',
  indexer: 'the snapshot under way',
  ingest: 'mapping what came after the last commit',
  joiner: 'joining what came after the last transaction',
  learner: 'learning what came after the last checkpoint',
  pod: 'replies to the requests under way',
}

/**
 * Waits for a role to end. Once it is told to it has `endWithinMs`, and it has not finished where Kafka does not answer at the end.
 * @throws FreshetError STOP_UNFINISHED when it was told to, and whatever makes it fail before
 */
export async function endOf(
  name: RoleName,
  role: Promise<void>,
  { signal, log, isKafkaUp }: Pick<RoleContext, 'signal' | 'log' | 'isKafkaUp'>,
): Promise<void> {
  let reason = 'Kafka does not answer'
  try {
    await Promise.race([role, whenAborted(signal).promise])
    await withTimeout(role, endWithinMs, late)
    if (!signal.aborted || isKafkaUp()) return
  } catch (error) {
    const mayPass = error instanceof FreshetError && error.disposition === 'retry'
    if (!signal.aborted || !mayPass) throw error
    reason = messageOf(error)
  }
  log.warn({ reason, again: repeated[name] }, 'stopped before it had finished; nothing is lost')
  throw new FreshetError(
    'STOP_UNFINISHED',
    `stopped before everything was written (${reason}). Nothing is lost: the next start does it again`,
  )
}

function late(): FreshetError {
  return new FreshetError('TIMEOUT', `not ended ${endWithinMs / 1_000} s after it was told to`)
}

/** @throws what made one fail; that another could not finish may only follow from it */
export function throwFailure(results: readonly PromiseSettledResult<void>[]): void {
  const reasons = results.flatMap((one): unknown[] =>
    one.status === 'rejected' ? [one.reason] : [],
  )
  const isCause = (reason: unknown): boolean =>
    !(reason instanceof FreshetError) || reason.code !== 'STOP_UNFINISHED'
  if (reasons.length > 0) throw reasons.find(isCause) ?? reasons[0]
}
