// Watches the Lease of one run. If nobody renews it, it fences the run off and lets the guard recover, as often as that
// needs, however long the API server or istiod is down.
import {
  guardAnnotation,
  guardIdentity,
  handedOverForMs,
  resumeWithinOf,
  holderOf,
  leasePaths,
  runOfHolder,
} from '../canary/ownership/lease-object.ts'
import type { Cluster, PatchOperation } from '../cluster/client.ts'
import { isConflict } from '../cluster/api-error.ts'
import type { Lease } from '../cluster/objects.ts'
import type { Clock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'

/** `leaseRead`: called after each read of the Lease that succeeds. */
export type GuardDeps = { clock: Clock; log: (line: string) => void; leaseRead?: () => void }

/** Which Lease, whose, and how long its holder may stay silent. */
export type WatchedLease = { namespace: string; lease: string; identity: string; afterMs: number }

/**
 * What the guard does. `outcomeOf`: why the watch ends without a recovery; undefined while the guard is needed.
 * `intent`: what it is about to do, in words. `recover`: gets the reason, and resolves to whether everything is written;
 * false: the next poll tries again. `recovered`: the outcome then.
 */
export type GuardWork<Outcome> = {
  outcomeOf: (lease: Lease | undefined) => Outcome | undefined
  intent: string
  recover: (why: string) => Promise<boolean>
  recovered: Outcome
}

const pollMs = 1_000

/** How long the run has been silent, by the guard's clock. */
class Silence {
  private lastRenewal: { at: number; renewTime: string | undefined } | undefined
  private unreachableSince: number | undefined
  private readonly clock: Clock

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** Records that the Lease could not be read. Returns true for the first failure in a row. */
  failed(requestedAt: number): boolean {
    const isFirst = this.unreachableSince === undefined
    this.unreachableSince ??= requestedAt
    return isFirst
  }

  /**
   * Records that the Lease was read. While the guard cannot read it, it does not know whether the run renews it. So that
   * time does not count against the run, and neither does the time of a late response.
   */
  answered(requestedAt: number): void {
    const wasUnreachable = this.unreachableSince !== undefined
    const unreadMs = this.clock.now() - (this.unreachableSince ?? requestedAt)
    if (this.lastRenewal && (wasUnreachable || unreadMs >= pollMs)) this.lastRenewal.at += unreadMs
    this.unreachableSince = undefined
  }

  /**
   * A changed `renewTime` shows that the run is alive. Its value depends on the run's clock and means nothing here, except
   * for a guard that starts in the middle of a long silence: `beforeMs` is how long it has lasted.
   */
  renewed(renewTime: string | undefined, beforeMs: number): void {
    if (this.lastRenewal && this.lastRenewal.renewTime === renewTime) return
    this.lastRenewal = { at: this.clock.now() - (this.lastRenewal ? 0 : beforeMs), renewTime }
  }

  ms(): number {
    return this.lastRenewal ? this.clock.now() - this.lastRenewal.at : 0
  }
}

export async function watchHolder<Outcome>(
  cluster: Cluster,
  watched: WatchedLease,
  { clock, log, leaseRead }: GuardDeps,
  work: GuardWork<Outcome>,
): Promise<Outcome> {
  const { identity, afterMs, lease: name } = watched
  const silence = new Silence(clock)
  /** Of the run that stopped renewing: the guard's own, or one that took over and has no guard yet. */
  let why = describeSilence(identity, afterMs)
  for (; ; await clock.sleep(pollMs)) {
    const requestedAt = clock.now()
    const lease = await readLease(cluster, watched).catch((problem: unknown) => ({ problem }))
    if (lease && 'problem' in lease) {
      if (silence.failed(requestedAt)) log(`the Lease ${name} cannot be read: ${messageOf(lease.problem)}`)
      continue
    }
    silence.answered(requestedAt)
    leaseRead?.()
    const outcome = work.outcomeOf(lease)
    if (outcome !== undefined) return outcome
    const current = lease!
    // A pod that is replaced must not let a promotion that was handed over wait for its whole time again.
    silence.renewed(current.spec?.renewTime, handedOverForMs(current))
    const isFenced = holderOf(current) === guardIdentity(identity)
    if (holderOf(current) === identity && current.metadata.annotations?.[guardAnnotation] !== identity)
      await patchLease(cluster, watched, current, log, [{ op: 'add', path: leasePaths.guard, value: identity }])
    const resumeWithinMs = resumeWithinOf(current)
    if (!isFenced && silence.ms() < (resumeWithinMs ?? afterMs)) continue
    if (!isFenced) why = describeSilence(holderOf(current), afterMs, resumeWithinMs)
    log(`${why}: ${work.intent}`)
    // The run loses its Lease first, so that a run that wakes up cannot overwrite the recovery.
    if (!isFenced && !(await fence(cluster, watched, current, log))) continue
    if (await work.recover(why)) return work.recovered
  }
}

/** `resumeWithinMs`: how long the promotion has waited for its next run, if it was handed over. */
function describeSilence(holder: string, afterMs: number, resumeWithinMs?: number): string {
  const run = `the run ${runOfHolder(holder)}`
  if (resumeWithinMs === undefined) return `${run} did not renew its Lease for ${afterMs / 1000} s`
  return `${run} handed its promotion over, and no run resumed it within ${resumeWithinMs / 1000} s`
}

function readLease(cluster: Cluster, { namespace, lease }: WatchedLease): Promise<Lease | undefined> {
  return cluster.get<Lease>('Lease', namespace, lease)
}

function fence(cluster: Cluster, watched: WatchedLease, lease: Lease, log: (line: string) => void): Promise<boolean> {
  const holder = { op: 'replace', path: '/spec/holderIdentity', value: guardIdentity(watched.identity) } as const
  return patchLease(cluster, watched, lease, log, [holder])
}

/**
 * Writes to the Lease unless it has changed since it was read. Returns whether it was written, and logs other failures.
 */
async function patchLease(
  cluster: Cluster,
  { namespace, lease: name }: WatchedLease,
  { metadata: { resourceVersion } }: Lease,
  log: (line: string) => void,
  operations: PatchOperation[],
): Promise<boolean> {
  const isUnchanged: PatchOperation = { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion }
  try {
    await cluster.patch('Lease', namespace, name, [isUnchanged, ...operations])
    return true
  } catch (problem) {
    if (!isConflict(problem)) log(`the Lease ${name} cannot be written: ${messageOf(problem)}`)
    return false
  }
}
