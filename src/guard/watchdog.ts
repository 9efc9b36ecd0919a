// The guard of a promotion. It rolls back to stable when nobody renews the Lease. It retries until the rollback is
// written, however long the API server or istiod is down. It ends when the run has ended.
import {
  claimantOf,
  guardIdentity,
  holderOf,
  isGuardIdentity,
  isGuarded,
  leasePaths,
} from '../canary/ownership/lease-object.ts'
import type { GuardSpec } from '../canary/ownership/guard-spec.ts'
import { requireRollbackTarget } from '../canary/workload/endpoints.ts'
import { resetToStable } from '../canary/traffic/router.ts'
import type { Cluster, PatchOperation } from '../cluster/client.ts'
import { ApiError } from '../cluster/api-error.ts'
import type { Lease } from '../cluster/objects.ts'
import { messageOf } from '../runtime/errors.ts'
import { plural } from '../runtime/plural.ts'
import { guardEvent, latestSpec } from './guard-objects.ts'
import { watchHolder, type GuardDeps } from './lease-watch.ts'

export type GuardOutcome = 'the run has ended' | 'another run has taken over' | 'rolled back to stable'

export function watchLease(cluster: Cluster, spec: GuardSpec, deps: GuardDeps): Promise<GuardOutcome> {
  const { identity, service } = spec
  return watchHolder<GuardOutcome>(cluster, spec, deps, {
    outcomeOf: (lease) => outcomeOf(lease, identity),
    intent: `rolling all traffic of ${service} back to stable`,
    recover: (why) => rollBack(cluster, spec, why, deps.log),
    recovered: 'rolled back to stable',
  })
}

/**
 * Why the watch ends without a rollback; undefined while this guard is needed. Another holder needs it until its own
 * guard watches: a run that takes over may fail before that, and the stage rollback has no guard.
 */
function outcomeOf(lease: Lease | undefined, identity: string): GuardOutcome | undefined {
  const holder = holderOf(lease)
  if (lease === undefined || holder === '') return 'the run has ended'
  if (claimantOf(lease) === identity || holder === guardIdentity(identity)) return undefined
  return isGuardIdentity(holder) || isGuarded(lease) ? 'another run has taken over' : undefined
}

/** Returns whether everything is written. The next poll retries the rest. */
async function rollBack(cluster: Cluster, spec: GuardSpec, why: string, log: (line: string) => void): Promise<boolean> {
  const { service, split, selectors } = spec
  try {
    const { saved } = await latestSpec(cluster, spec)
    await requireRollbackTarget(cluster, split, selectors)
    const written = await resetToStable(cluster, split, { saved, onlySaved: true })
    const what = `${why}, and the guard set the weight of ${split.canary.name} of ${service} to 0`
    log(`${what} (${plural(written.length, 'object')} written)`)
    await cluster
      .create(guardEvent(spec, 'CanaryRolledBack', what))
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
    // 404: someone has deleted the Lease meanwhile, so there is nothing to release. If a run took it over, the next
    // poll sees that.
    if (!(problem instanceof ApiError) || problem.status !== 404) throw problem
  })
}
