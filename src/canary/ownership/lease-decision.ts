// What a run does next that wants a Lease: decided from what it read, without reading or writing. Pure.
import type { Lease } from '../../cluster/objects.ts'
import { holderOf, isGuardIdentity } from './lease-object.ts'

/** What a waiting run has seen of the Lease. Times are by this machine's clock: the holder's clock may be wrong. */
export type ObservedLease = {
  /** The `resourceVersion` read last; undefined when there was no Lease. */
  version: string | undefined
  /** When this version was read first, in milliseconds. */
  since: number
  /** The Lease changed while this run watched it: its holder is alive. */
  renewed: boolean
}

/** `startedAt`: since when the run waits; `waitMs`: how long it waits for a holder that is alive. */
export type LeaseWait = { startedAt: number; waitMs: number }

export type LeaseDecision =
  /** Nobody holds it. */
  | { kind: 'acquire' }
  /** The holder did not renew it for as long as the Lease says. */
  | { kind: 'steal'; holder: string }
  | { kind: 'wait'; holder: string }
  /** The holder is alive, and the run has waited long enough. */
  | { kind: 'refuse'; holder: string }

/** Adds what was read at `now` to what was seen before. */
export function observe(before: ObservedLease | undefined, lease: Lease | undefined, now: number): ObservedLease {
  const version = lease?.metadata.resourceVersion
  if (before && before.version === version) return before
  return { version, since: now, renewed: before !== undefined }
}

/** The run always waits this long for a guard, which needs seconds to roll back. */
const guardWaitMs = 60_000
const defaultLeaseSeconds = 30

export function decide(
  lease: Lease | undefined,
  seen: ObservedLease,
  now: number,
  { startedAt, waitMs }: LeaseWait,
): LeaseDecision {
  const holder = holderOf(lease)
  if (holder === '') return { kind: 'acquire' }
  const leaseMs = (lease?.spec?.leaseDurationSeconds ?? defaultLeaseSeconds) * 1_000
  if (now - seen.since >= leaseMs) return { kind: 'steal', holder }
  const limitMs = isGuardIdentity(holder) ? Math.max(waitMs, guardWaitMs) : waitMs
  return { kind: seen.renewed && now - startedAt >= limitMs ? 'refuse' : 'wait', holder }
}
