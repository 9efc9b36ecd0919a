// The guard's loop. It watches the Lease of one run, and rolls back to stable when the Lease is not renewed. It
// retries until the rollback is written, however long the API server or istiod is down. It ends when the run has ended.
import {
  guardAnnotation,
  guardIdentity,
  holderOf,
  isGuardIdentity,
  leasePaths,
  runOfHolder,
} from '../canary/ownership/lease-object.ts'
import { guardName } from '../canary/ownership/guard-manifest.ts'
import { guardSpecKey, type GuardSpec } from '../canary/ownership/guard-spec.ts'
import { requireRollbackTarget } from '../canary/workload/endpoints.ts'
import { resetToStable } from '../canary/traffic/router.ts'
import type { Cluster, PatchOperation } from '../cluster/client.ts'
import { ApiError, isConflict, lacksRights } from '../cluster/api-error.ts'
import type { ConfigMap, KubeObject, Lease } from '../cluster/objects.ts'
import type { Routed } from '../policies/routes.ts'
import type { Clock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'

export type GuardOutcome = 'the run has ended' | 'another run has taken over' | 'rolled back to stable'

export type GuardDeps = { clock: Clock; log: (line: string) => void }

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
   * Records that the Lease was read. While the guard cannot reach the API server, the run cannot either. So that time
   * does not count against the run, and neither does the time of a late response.
   */
  answered(requestedAt: number): void {
    const wasUnreachable = this.unreachableSince !== undefined
    const unreadMs = this.clock.now() - (this.unreachableSince ?? requestedAt)
    if (this.lastRenewal && (wasUnreachable || unreadMs >= pollMs)) this.lastRenewal.at += unreadMs
    this.unreachableSince = undefined
  }

  /** A changed `renewTime` shows that the run is alive. Its value depends on the run's clock and means nothing here. */
  renewed(renewTime: string | undefined): void {
    if (!this.lastRenewal || this.lastRenewal.renewTime !== renewTime)
      this.lastRenewal = { at: this.clock.now(), renewTime }
  }

  ms(): number {
    return this.lastRenewal ? this.clock.now() - this.lastRenewal.at : 0
  }
}

export async function watchLease(cluster: Cluster, spec: GuardSpec, deps: GuardDeps): Promise<GuardOutcome> {
  const { clock, log } = deps
  const { identity, afterMs, lease: name, service } = spec
  const silence = new Silence(clock)
  /** The run that stopped renewing: the guard's own, or one that took over and has no guard yet. */
  let lost = runOfHolder(identity)
  for (; ; await clock.sleep(pollMs)) {
    const requestedAt = clock.now()
    const lease = await readLease(cluster, spec).catch((problem: unknown) => ({ problem }))
    if (lease && 'problem' in lease) {
      if (silence.failed(requestedAt)) log(`the Lease ${name} cannot be read: ${messageOf(lease.problem)}`)
      continue
    }
    silence.answered(requestedAt)
    const outcome = outcomeOf(lease, identity)
    if (outcome) return outcome
    const current = lease!
    silence.renewed(current.spec?.renewTime)
    const isFenced = holderOf(current) === guardIdentity(identity)
    if (holderOf(current) === identity && current.metadata.annotations?.[guardAnnotation] !== identity)
      await patchLease(cluster, spec, current, log, [{ op: 'add', path: leasePaths.guard, value: identity }])
    if (!isFenced && silence.ms() < afterMs) continue
    if (!isFenced) lost = runOfHolder(holderOf(current))
    log(`${lost} did not renew the Lease for ${afterMs / 1000} s: rolling all traffic of ${service} back to stable`)
    // The run loses its Lease first, so that a run that wakes up cannot overwrite the rollback.
    if (!isFenced && !(await fence(cluster, spec, current, log))) continue
    if (await rollBack(cluster, spec, lost, log)) return 'rolled back to stable'
  }
}

function readLease(cluster: Cluster, { namespace, lease }: GuardSpec): Promise<Lease | undefined> {
  return cluster.get<Lease>('Lease', namespace, lease)
}

/**
 * Why the watch ends without a rollback; undefined while this guard is needed. Another holder needs it until its own
 * guard watches: a run that takes over may fail before that, and the stage rollback has no guard.
 */
function outcomeOf(lease: Lease | undefined, identity: string): GuardOutcome | undefined {
  const holder = holderOf(lease)
  if (lease === undefined || holder === '') return 'the run has ended'
  if (holder === identity || holder === guardIdentity(identity)) return undefined
  const isGuarded = isGuardIdentity(holder) || lease.metadata.annotations?.[guardAnnotation] === holder
  return isGuarded ? 'another run has taken over' : undefined
}

function fence(cluster: Cluster, spec: GuardSpec, lease: Lease, log: (line: string) => void): Promise<boolean> {
  const holder = { op: 'replace', path: '/spec/holderIdentity', value: guardIdentity(spec.identity) } as const
  return patchLease(cluster, spec, lease, log, [holder])
}

/**
 * Writes to the Lease unless it has changed since it was read. Returns whether it was written, and logs other failures.
 */
async function patchLease(
  cluster: Cluster,
  { namespace, lease: name }: GuardSpec,
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

/** Returns whether everything is written. The next poll retries the rest. */
async function rollBack(
  cluster: Cluster,
  spec: GuardSpec,
  lost: string,
  log: (line: string) => void,
): Promise<boolean> {
  const { service, afterMs, split, selectors } = spec
  try {
    const saved = await routesToRestore(cluster, spec)
    await requireRollbackTarget(cluster, split, selectors)
    const written = await resetToStable(cluster, split, { saved, onlySaved: true })
    const run = `the run ${lost} did not renew its Lease for ${afterMs / 1000} s`
    const what = `${run}, and the guard set the weight of ${split.canary.name} of ${service} to 0`
    log(`${what} (${written.length} object${written.length === 1 ? '' : 's'} written)`)
    await cluster
      .create(rollbackEvent(spec, what))
      .catch((problem: unknown) => log(`the event cannot be recorded: ${messageOf(problem)}`))
    await releaseLease(cluster, spec, what)
    return true
  } catch (problem) {
    log(`the rollback is not complete yet: ${messageOf(problem)}`)
    return false
  }
}

/** Those of the latest specification: the run adds a route that appears after the guard has started. */
async function routesToRestore(
  cluster: Cluster,
  { namespace, service, identity, saved }: GuardSpec,
): Promise<Routed[]> {
  const name = guardName(service, identity)
  const latest = await cluster.get<ConfigMap>('ConfigMap', namespace, name).catch((problem: unknown) => {
    if (!lacksRights(problem)) throw problem
    return undefined
  })
  const text = latest?.data?.[guardSpecKey]
  return text === undefined ? saved : (JSON.parse(text) as GuardSpec).saved
}

async function releaseLease(cluster: Cluster, { namespace, lease, identity }: GuardSpec, what: string): Promise<void> {
  const operations: PatchOperation[] = [
    { op: 'test', path: '/spec/holderIdentity', value: guardIdentity(identity) },
    { op: 'add', path: leasePaths.ended, value: what },
    { op: 'replace', path: '/spec/holderIdentity', value: '' },
  ]
  await cluster.patch('Lease', namespace, lease, operations).catch((problem: unknown) => {
    // 404: someone has deleted the Lease meanwhile, so there is nothing to release. If a run took it over, the next
    // poll sees that.
    if (!(problem instanceof ApiError) || problem.status !== 404) throw problem
  })
}

function rollbackEvent({ namespace, service, lease }: GuardSpec, message: string): KubeObject {
  const time = new Date().toISOString()
  const base = { apiVersion: 'v1', kind: 'Event', metadata: { name: `${lease}.${Date.now().toString(16)}`, namespace } }
  const about = {
    involvedObject: { apiVersion: 'v1', kind: 'Service', namespace, name: service },
    reason: 'CanaryRolledBack',
    message,
    type: 'Warning',
    source: { component: 'mesh-canary-guard' },
  }
  return Object.assign(base, about, { firstTimestamp: time, lastTimestamp: time, count: 1 })
}
