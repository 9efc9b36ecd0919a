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
import { guardName } from '../canary/ownership/guard-manifest.ts'
import { guardSpecKey, type GuardSpec } from '../canary/ownership/guard-spec.ts'
import { requireRollbackTarget } from '../canary/workload/endpoints.ts'
import { resetToStable } from '../canary/traffic/router.ts'
import type { Cluster, PatchOperation } from '../cluster/client.ts'
import { ApiError, lacksRights } from '../cluster/api-error.ts'
import type { ConfigMap, KubeObject, Lease } from '../cluster/objects.ts'
import type { Routed } from '../policies/routes.ts'
import { messageOf } from '../runtime/errors.ts'
import { plural } from '../runtime/plural.ts'
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
    const saved = await routesToRestore(cluster, spec)
    await requireRollbackTarget(cluster, split, selectors)
    const written = await resetToStable(cluster, split, { saved, onlySaved: true })
    const what = `${why}, and the guard set the weight of ${split.canary.name} of ${service} to 0`
    log(`${what} (${plural(written.length, 'object')} written)`)
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
