// The guard's loop: it watches the Lease of one run, and rolls back to stable when the run stops renewing it. It tries
// until the rollback is written, however long the API server or istiod do not answer. It ends when the run has ended.
import { guardIdentity, holderOf, leasePaths, runOfHolder } from '../canary/ownership/lease-object.ts'
import type { GuardSpec } from '../canary/ownership/guard-spec.ts'
import { resetToStable } from '../canary/traffic/router.ts'
import type { Cluster, PatchOperation } from '../cluster/client.ts'
import { ApiError, isConflict } from '../cluster/api-error.ts'
import type { KubeObject, Lease } from '../cluster/objects.ts'
import type { Clock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'

export type GuardOutcome = 'the run has ended' | 'another run has taken over' | 'rolled back to stable'

export type GuardDeps = { clock: Clock; log: (line: string) => void }

const pollMs = 1_000

/** How long the run has been silent, by the guard's clock. */
class Silence {
  private lastSign: { at: number; renewTime: string | undefined } | undefined
  private unreachableSince: number | undefined
  private readonly clock: Clock

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** The Lease could not be read. Answers whether the read before it still could. */
  failed(askedAt: number): boolean {
    const isFirst = this.unreachableSince === undefined
    this.unreachableSince ??= askedAt
    return isFirst
  }

  /**
   * The Lease was read. While the guard cannot reach the API server, the run cannot either. So that time does not count
   * against the run, and neither does the time of an answer that came late.
   */
  answered(askedAt: number): void {
    const wasUnreachable = this.unreachableSince !== undefined
    const withoutMs = this.clock.now() - (this.unreachableSince ?? askedAt)
    if (this.lastSign && (wasUnreachable || withoutMs >= pollMs)) this.lastSign.at += withoutMs
    this.unreachableSince = undefined
  }

  /** A changed `renewTime` is a sign of life; its value is by the run's clock and says nothing. */
  renewed(renewTime: string | undefined): void {
    if (!this.lastSign || this.lastSign.renewTime !== renewTime) this.lastSign = { at: this.clock.now(), renewTime }
  }

  ms(): number {
    return this.lastSign ? this.clock.now() - this.lastSign.at : 0
  }
}

export async function watchLease(cluster: Cluster, spec: GuardSpec, deps: GuardDeps): Promise<GuardOutcome> {
  const { clock, log } = deps
  const { identity, afterMs, lease: name, service } = spec
  const silence = new Silence(clock)
  let isAnnounced = false
  for (; ; await clock.sleep(pollMs)) {
    const askedAt = clock.now()
    const lease = await readLease(cluster, spec).catch((problem: unknown) => ({ problem }))
    if (lease && 'problem' in lease) {
      if (silence.failed(askedAt)) log(`the Lease ${name} cannot be read: ${messageOf(lease.problem)}`)
      continue
    }
    silence.answered(askedAt)
    const outcome = outcomeOf(lease, identity)
    if (outcome) return outcome
    const held = lease!
    silence.renewed(held.spec?.renewTime)
    if (!isAnnounced)
      isAnnounced = await patchLease(cluster, spec, held, log, [{ op: 'add', path: leasePaths.guard, value: identity }])
    const isFenced = holderOf(held) === guardIdentity(identity)
    if (!isFenced && silence.ms() < afterMs) continue
    log(`${identity} did not renew its Lease for ${afterMs / 1000} s: rolling all traffic of ${service} back to stable`)
    // First the run loses its Lease, so that a run that wakes up cannot write over the rollback.
    if (!isFenced && !(await fence(cluster, spec, held, log))) continue
    if (await rollBack(cluster, spec, log)) return 'rolled back to stable'
  }
}

function readLease(cluster: Cluster, { namespace, lease }: GuardSpec): Promise<Lease | undefined> {
  return cluster.get<Lease>('Lease', namespace, lease)
}

/** How the watch ends by itself; undefined while the run or this guard holds the Lease. */
function outcomeOf(lease: Lease | undefined, identity: string): GuardOutcome | undefined {
  if (!lease || lease.spec?.holderIdentity === '') return 'the run has ended'
  const holder = lease.spec?.holderIdentity
  return holder === identity || holder === guardIdentity(identity) ? undefined : 'another run has taken over'
}

function fence(cluster: Cluster, spec: GuardSpec, lease: Lease, log: (line: string) => void): Promise<boolean> {
  const holder = { op: 'replace', path: '/spec/holderIdentity', value: guardIdentity(spec.identity) } as const
  return patchLease(cluster, spec, lease, log, [holder])
}

/** Writes to the Lease unless it has changed since it was read. Answers whether it was written; logs other refusals. */
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

/** Answers whether all of it is written; the next poll tries again what could not be written. */
async function rollBack(cluster: Cluster, spec: GuardSpec, log: (line: string) => void): Promise<boolean> {
  const { service, identity, afterMs, split, saved } = spec
  try {
    const written = await resetToStable(cluster, split, saved, true)
    const run = `the run ${runOfHolder(identity)} did not renew its Lease for ${afterMs / 1000} s`
    const what = `${run}, and the guard returned all traffic of ${service} to ${split.stable.name}`
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

async function releaseLease(cluster: Cluster, { namespace, lease, identity }: GuardSpec, what: string): Promise<void> {
  const operations: PatchOperation[] = [
    { op: 'test', path: '/spec/holderIdentity', value: guardIdentity(identity) },
    { op: 'add', path: leasePaths.ended, value: what },
    { op: 'replace', path: '/spec/holderIdentity', value: '' },
  ]
  await cluster.patch('Lease', namespace, lease, operations).catch((problem: unknown) => {
    // Someone has deleted it meanwhile. The next poll sees a run that took it over.
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
