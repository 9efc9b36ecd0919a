// Decides what a run that wants a Lease does next, from what it has read. Pure.
import type { Lease } from '../../cluster/objects.ts'
import { handedOverBy, holderOf, isGuardIdentity, leaseMsOf } from './lease-object.ts'

/**
 * What a waiting run knows of the Lease. Times are by this machine's clock, because the holder's clock may be wrong.
 */
export type ObservedLease = {
  /** Who held it and renewed it when, by the last reading; undefined when there was no Lease. */
  renewal: string | undefined
  /** When the run first read this renewal, in milliseconds. */
  since: number
  /** The Lease was renewed or changed hands while this run watched it: its holder is alive. */
  renewed: boolean
}

/** `startedAt`: when the wait began. `waitMs`: how long the run waits for a holder that is alive. */
export type LeaseWait = { startedAt: number; waitMs: number }

export type LeaseDecision =
  /** No run holds it, or the holder has handed it over. */
  | { kind: 'acquire' }
  /** The holder did not renew it for the Lease's duration. */
  | { kind: 'steal'; holder: string }
  | { kind: 'wait'; holder: string }
  /** The holder is alive, and the run has waited long enough. */
  | { kind: 'refuse'; holder: string }

/** Adds a reading at `now` to what the run knows. */
export function observe(before: ObservedLease | undefined, lease: Lease | undefined, now: number): ObservedLease {
  const renewal = renewalOf(lease)
  if (before && before.renewal === renewal) return before
  return { renewal, since: now, renewed: before !== undefined }
}

/** Not the `resourceVersion`: the guard of a run that has died still writes that it watches. */
function renewalOf(lease: Lease | undefined): string | undefined {
  return lease && `${holderOf(lease)} ${lease.spec?.renewTime ?? ''}`
}

/** The run always waits this long for a guard, which needs seconds to roll back. */
const guardWaitMs = 60_000

export function decide(
  lease: Lease | undefined,
  observed: ObservedLease,
  now: number,
  { startedAt, waitMs }: LeaseWait,
): LeaseDecision {
  const holder = holderOf(lease)
  if (holder === '' || handedOverBy(holder) !== undefined) return { kind: 'acquire' }
  if (now - observed.since >= leaseMsOf(lease)) return { kind: 'steal', holder }
  const limitMs = isGuardIdentity(holder) ? Math.max(waitMs, guardWaitMs) : waitMs
  return { kind: observed.renewed && now - startedAt >= limitMs ? 'refuse' : 'wait', holder }
}
