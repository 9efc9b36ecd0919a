// Acts on promotions from outside their loop: recovers those of a dead run, and rolls back on request.
import { randomUUID } from 'node:crypto'
import type { Cluster } from '../cluster/client.ts'
import { ApiError } from '../cluster/api-error.ts'
import type { Split } from '../policies/routes.ts'
import type { Lease } from '../cluster/objects.ts'
import { type Clock, systemClock } from '../runtime/clock.ts'
import { persist } from '../runtime/retry.ts'
import { findUndrained } from './controller/undrained.ts'
import { isTransient } from './controller/writer.ts'
import { deleteGuard } from './ownership/guard-job.ts'
import { guardName } from './ownership/guard-manifest.ts'
import { handBackLease, seizeLease } from './ownership/lease.ts'
import {
  endedAnnotation,
  guardIdentity,
  holderOf,
  leaseName,
  leasePaths,
  rollbackIdentity,
} from './ownership/lease-object.ts'
import { rolledBackRecord, writeOutcome, type OutcomeRecord } from './ownership/outcome-record.ts'
import { readSavedRoutes } from './ownership/session.ts'
import type { RecoveryIntent } from './active-promotion.ts'
import { requireRollbackTarget } from './workload/endpoints.ts'
import { readHighestWeight, resetToStable } from './traffic/router.ts'

/**
 * Returns the traffic to stable, or leaves it if it is held, and releases the Lease. Returns one sentence about what it
 * did, if anything. `isHeld`: the plan says `onCancel: hold`. @throws Error also if the canary still serves at weight
 * 0, or if stable has no endpoint: then the guard returns the traffic when it has one.
 */
export async function recoverPromotion(
  cluster: Cluster,
  intent: RecoveryIntent,
  isHeld: boolean,
  note: (line: string) => void,
  clock: Clock = systemClock,
): Promise<string | undefined> {
  const { split, drainTarget, needsDrainCheck } = intent
  const { done, isRolledBack } = needsDrainCheck
    ? { done: undefined, isRolledBack: true }
    : await recoverTraffic(cluster, intent, isHeld)
  const undrained = isRolledBack ? await findUndrained(cluster, split, drainTarget, note, clock) : undefined
  if (undrained?.kind === 'serving') throw new Error(undrained.text)
  return undrained ? [done, undrained.text].filter((each) => each !== undefined).join('; but ') : done
}

type Recovery = { done: string | undefined; isRolledBack: boolean }

async function recoverTraffic(cluster: Cluster, intent: RecoveryIntent, isHeld: boolean): Promise<Recovery> {
  const { split, identity } = intent
  const { namespace, service, stable } = split
  const lease = await cluster.get<Lease>('Lease', namespace, leaseName(service))
  const holder = holderOf(lease)
  const isGuards = holder === guardIdentity(identity)
  // The promotion has ended, was released or rolled back by the guard, or another run has taken it over.
  if (holder !== identity && !isGuards) {
    const done = lease?.metadata.annotations?.[endedAnnotation]
    const isReleased = done !== undefined && holder === ''
    return { done, isRolledBack: isReleased && (await readHighestWeight(cluster, split).catch(() => undefined)) === 0 }
  }
  if (isHeld && isGuards)
    return { done: `the guard is returning all traffic of ${service} to ${stable.name}`, isRolledBack: false }
  if (!isHeld) {
    await requireRollbackTarget(cluster, split, intent.selectors)
    if (!(await resetWhileHolding(cluster, split, holder))) return recoverTraffic(cluster, intent, isHeld)
  }
  const done = isHeld
    ? `the traffic of ${service} stays as it is (\`onCancel: hold\`)`
    : `all traffic of ${service} was returned to ${stable.name}`
  if (!isGuards) await releaseLease(cluster, split, identity, `the run ended during the promotion, and ${done}`)
  return { done, isRolledBack: !isHeld }
}

/** False if the Lease went to another holder before anything was written: that one decides now. */
async function resetWhileHolding(cluster: Cluster, split: Split, holder: string): Promise<boolean> {
  const { namespace, service } = split
  let isLost = false
  const requireHolder = async () => {
    isLost = holderOf(await cluster.get<Lease>('Lease', namespace, leaseName(service))) !== holder
    if (isLost) throw new Error('the Lease has another holder')
  }
  const saved = await readSavedRoutes(cluster, namespace, service)
  await resetToStable(cluster, split, { saved, beforeWrite: requireHolder }).catch((problem: unknown) => {
    if (!isLost) throw problem
  })
  return !isLost
}

async function releaseLease(
  cluster: Cluster,
  { namespace, service }: Split,
  identity: string,
  reason: string,
): Promise<void> {
  await cluster
    .patch('Lease', namespace, leaseName(service), [
      { op: 'test', path: '/spec/holderIdentity', value: identity },
      { op: 'add', path: leasePaths.ended, value: reason },
      { op: 'replace', path: '/spec/holderIdentity', value: '' },
    ])
    .catch((error: unknown) => {
      // Another process was faster, and decides now.
      if (!(error instanceof ApiError) || ![404, 422].includes(error.status)) throw error
    })
  await deleteGuard(cluster, namespace, guardName(service, identity))
}

/**
 * Returns all traffic to stable. A run that promotes the service loses its Lease first; its guard goes on until the
 * routes are written. Returns whether a route was changed. @throws Error if the routes cannot be written within
 * `timeoutMs`; then the guard of the earlier run, if there is one, still returns the traffic to stable.
 */
export async function forceRollback(
  cluster: Cluster,
  split: Split,
  { run, timeoutMs, clock = systemClock }: { run: string; timeoutMs: number; clock?: Clock },
): Promise<boolean> {
  const { namespace, service } = split
  const holder = rollbackIdentity(run)
  const reason = `${run} returned all traffic to stable (stage rollback)`
  const before = await seizeLease(cluster, namespace, service, holder, reason)
  const saved = before ? await readSavedRoutes(cluster, namespace, service) : []
  try {
    const reset = () => resetToStable(cluster, split, { saved })
    const written = await persist(reset, { limitMs: timeoutMs, intervalMs: 1_000, isTransient, clock })
    // One run may roll back twice, and the records must differ.
    const session = `${holder} (${randomUUID().slice(0, 8)})`
    if (before) await endPromotion(cluster, before, service, rolledBackRecord(reason, run, session))
    return written.some(({ changedRoutes }) => changedRoutes)
  } catch (problem) {
    // The reason why the routes cannot be written matters more than that of a second failure.
    if (before) await handBackLease(cluster, before, holder).catch(() => undefined)
    throw problem
  }
}

/** The run that has lost this Lease reads in the record who ended its promotion. */
async function endPromotion(
  cluster: Cluster,
  { metadata: { namespace = '', name, uid } }: Lease,
  service: string,
  record: OutcomeRecord,
): Promise<void> {
  // Without the record, that run writes weight 0 once more.
  await writeOutcome(cluster, namespace, service, record).catch(() => undefined)
  await cluster.remove('Lease', namespace, name, uid)
}
