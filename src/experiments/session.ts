// Keeps what an experiment needs to outlive its run: the Leases of the services that it concerns, which no promotion can
// hold at the same time unless the experiment may run during one, and the guard that removes the fault.
import { isDeepStrictEqual } from 'node:util'
import { applyGuardObjects, explainMissingGuard } from '../canary/ownership/guard-job.ts'
import { guardName } from '../canary/ownership/guard-manifest.ts'
import { claimIdentity, claimLease, LeaseLost, waitForFreeLease, type LeaseClaim } from '../canary/ownership/lease.ts'
import {
  experimentRun,
  holderOf,
  isExperimentHolder,
  leaseName,
  runOfHolder,
  stateAnnotation,
} from '../canary/ownership/lease-object.ts'
import { startGuard, type SessionGuard } from '../canary/ownership/session-guard.ts'
import { lacksRights } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import type { Lease } from '../cluster/objects.ts'
import type { ExperimentConfig } from '../config/schema.ts'
import type { Clock } from '../runtime/clock.ts'
import { poll } from '../runtime/retry.ts'
import type { AffectedServices } from './faults/affected-services.ts'
import type { FaultObject } from './faults/fault-object.ts'
import { describeUnfinished, findLeftovers, findUnfinished, restoreObjects } from './faults/restore.ts'
import { experimentGuard } from './guard.ts'
import { claimedService, otherClaimName } from './own-leases.ts'

export type SessionDeps = {
  run: string
  readGuardProgram: () => string
  signal: AbortSignal
  clock: Clock
  note: (line: string) => void
}

/** `services`: under the names of their Leases. The guard watches the Lease of the target. */
export type SessionSettings = {
  namespace: string
  name: string
  experiment: ExperimentConfig
  services: AffectedServices
}

export type ExperimentSession = Pick<SessionGuard, 'isGuarded' | 'checkGuard' | 'explainMissingGuard'> & {
  identity: string
  lease: Lease
  /** Renews all Leases. @throws LeaseLost if this run no longer holds one of them. */
  renew: () => Promise<void>
  /** Tells the guard what to restore, before it is written. */
  cover: (objects: FaultObject[]) => Promise<void>
  /** Deletes the Leases that the run still holds and, with them, the guard. */
  end: () => Promise<void>
}

/** @throws Error if another run holds a Lease, if a promotion is unfinished, or if the guard cannot be created. */
export async function openSession(
  cluster: Cluster,
  settings: SessionSettings,
  objects: FaultObject[],
  deps: SessionDeps,
): Promise<ExperimentSession> {
  const claims = await claimLeases(cluster, settings, deps)
  const renew = async () => void (await Promise.all(claims.map((claim) => claim.confirm())))
  const end = async () => {
    // The guard's Lease goes last, so that the fault is guarded until then.
    for (const claim of claims.toReversed()) await claim.end().catch(unlessLost)
  }
  try {
    await removeLeftovers(cluster, settings, renew, deps)
    const guard = await guardFault(cluster, settings, claims[0]!, objects, deps)
    return {
      ...guard,
      identity: claims[0]!.identity,
      lease: claims[0]!.lease,
      renew,
      end,
    }
  } catch (problem) {
    await end().catch(() => undefined)
    throw problem
  }
}

/** Another holder decides about its Lease. */
function unlessLost(problem: unknown): void {
  if (!(problem instanceof LeaseLost)) throw problem
}

/** The next renewal may succeed. */
function ifLost(problem: unknown): void {
  if (problem instanceof LeaseLost) throw problem
}

async function claimLeases(
  cluster: Cluster,
  { namespace, name, experiment, services }: SessionSettings,
  { run, signal, clock, note }: SessionDeps,
): Promise<LeaseClaim[]> {
  const claims: LeaseClaim[] = []
  const holder = experimentRun(run, name)
  // The same in all Leases: whoever cleans up after the run finds them by it.
  const identity = claimIdentity(holder)
  // Without this, another run could take over a Lease, and inject, while this one waits for the next Lease.
  const whileWaiting = async () => {
    for (const claim of claims) await claim.confirm().catch(ifLost)
  }
  try {
    for (const service of [services.target, ...services.others]) {
      const title = claimedService(service, experiment)
      const waiting = { namespace, title, waitMs: experiment.leaseWaitTimeout, signal, clock, note, whileWaiting }
      await waitForFreeLease(cluster, { ...waiting, service })
      await requireNoPromotion(cluster, namespace, service)
      const leaseMs = experiment.guard.after
      const claim = await claimLease(cluster, { ...waiting, service, run: holder, identity, leaseMs }).catch(withRemedy)
      // A promotion may have begun, and died, while this run waited. Its guard still watches the Lease, and rolls back.
      if (claim.before) throw new Error(unfinished(namespace, service, 'a promotion'))
      claims.push(claim)
      // After the claim: of two experiments that begin at once, at least one sees the other.
      await waitForOtherExperiment(cluster, { ...waiting, service: otherClaimName(title, experiment) })
    }
    return claims
  } catch (problem) {
    for (const claim of claims) await claim.end().catch(() => undefined)
    throw problem
  }
}

/** @throws Error if an experiment holds the other Lease of the service and does not end. */
async function waitForOtherExperiment(
  cluster: Cluster,
  waiting: Parameters<typeof waitForFreeLease>[1],
): Promise<void> {
  const lease = await cluster.get<Lease>('Lease', waiting.namespace, leaseName(waiting.service))
  if (isExperimentHolder(holderOf(lease))) await waitForFreeLease(cluster, waiting)
}

async function requireNoPromotion(cluster: Cluster, namespace: string, service: string): Promise<void> {
  const lease = await cluster.get<Lease>('Lease', namespace, leaseName(service))
  if (lease?.metadata.annotations?.[stateAnnotation] === undefined) return
  const holder = holderOf(lease)
  throw new Error(
    unfinished(namespace, service, holder === '' ? 'a promotion' : `a promotion by ${runOfHolder(holder)}`),
  )
}

function unfinished(namespace: string, service: string, what: string): string {
  return (
    `${what} of ${service} has not ended (Lease ${namespace}/${leaseName(service)}); ` +
    'finish it, or run the stage rollback, before an experiment'
  )
}

function withRemedy(problem: unknown): never {
  if (!lacksRights(problem)) throw problem
  throw new Error(
    `the run cannot write the Lease of the experiment: ${problem.message}; ` + `give the run the rights of ${rights}`,
  )
}

const rights = 'deploy/rbac/experiment.yaml'

/** How long Chaos Mesh may take to end a fault. */
const leftoverLimits = { limitMs: 10_000, intervalMs: 1_000 }

/**
 * What a lost run left whose guard is lost as well. `renew`: shows that the Leases are this run's, so that nothing here
 * is the fault of a run that is alive.
 */
async function removeLeftovers(
  cluster: Cluster,
  { namespace, experiment, services: { target, others } }: SessionSettings,
  renew: () => Promise<void>,
  { note, clock }: SessionDeps,
): Promise<void> {
  await renew()
  const claims = [target, ...others]
  // Nobody who is alive holds the other Lease of a service: this run has waited for it.
  const otherClaims = claims.map((each) => otherClaimName(claimedService(each, experiment), experiment))
  const leftovers = await findLeftovers(cluster, namespace, [...claims, ...otherClaims].map(leaseName))
  for (const { fault, identity } of leftovers)
    for (const key of await restoreObjects(cluster, [fault], { identity }))
      note(`removed what an earlier experiment had left in ${key}`)
  const isGone = (left: unknown[]) => left.length === 0
  const find = async () => {
    await renew().catch(ifLost)
    return findUnfinished(
      cluster,
      leftovers.map(({ fault }) => fault),
    )
  }
  const unfinished = await poll(find, isGone, { ...leftoverLimits, clock })
  if (unfinished.length > 0) throw new Error(`an earlier experiment is not over: ${describeUnfinished(unfinished)}`)
}

async function guardFault(
  cluster: Cluster,
  { namespace, name, experiment, services: { target: service, others } }: SessionSettings,
  claim: LeaseClaim,
  objects: FaultObject[],
  deps: SessionDeps,
): Promise<Pick<SessionGuard, 'isGuarded' | 'checkGuard' | 'explainMissingGuard'> & Pick<ExperimentSession, 'cover'>> {
  const { guard } = experiment
  let covered = objects
  const apply = (isUpdate = false) => {
    const { identity, lease } = claim
    const spec = {
      experiment: name,
      namespace,
      service,
      lease: lease.metadata.name,
      otherLeases: others.map(leaseName),
      identity,
      afterMs: guard.after,
      objects: covered,
    }
    const manifest = experimentGuard(spec, lease, deps.readGuardProgram(), guard)
    return applyGuardObjects(cluster, service, manifest, { rights, otherwise: '' }, isUpdate)
  }
  const settings = { namespace, service, isEnabled: guard.enabled, claim, apply: () => apply() }
  const started = await startGuard(cluster, settings, deps)
  return {
    ...started,
    explainMissingGuard: () => explainMissingGuard(cluster, namespace, guardName(service, claim.identity), false),
    cover: async (needed) => {
      if (isDeepStrictEqual(needed, covered)) return
      covered = needed
      await apply(true)
    },
  }
}
