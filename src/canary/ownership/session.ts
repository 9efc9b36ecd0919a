// Keeps what a promotion needs to outlive its run: the Lease with its progress, the routes from before it, and the
// guard.
import { isDeepStrictEqual } from 'node:util'
import type { Cluster } from '../../cluster/client.ts'
import { lacksRights } from '../../cluster/api-error.ts'
import { isHeldAsPlanned } from '../state/ending.ts'
import type { EndedState, State } from '../state/types.ts'
import { isVirtualService, type Routed, type Split } from '../../policies/routes.ts'
import { managedByLabel, manager } from '../../cluster/labels.ts'
import { keyOf, titleOf, type ConfigMap } from '../../cluster/objects.ts'
import { faultRouteName } from '../../config/names.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import type { Clock } from '../../runtime/clock.ts'
import { noRequests, type RequestCounts } from '../analysis/request-counts.ts'
import { progressView } from '../state/progress-view.ts'
import { mapSteps, withoutWatchedTime } from '../state/steps.ts'
import { fenceRoutes, readRoutes, resetToStable } from '../traffic/router.ts'
import { listSplittingRoutes } from '../traffic/splitting-routes.ts'
import { requireRollbackTarget } from '../workload/endpoints.ts'
import type { VersionSelectors } from '../workload/selectors.ts'
import { planHash } from '../workload/fingerprint.ts'
import { applyGuard } from './guard-job.ts'
import type { ObservedLease } from './lease-decision.ts'
import { claimLease, LeaseLost, type LeaseClaim } from './lease.ts'
import { leaseName, ownerReference, type SavedPromotion } from './lease-object.ts'
import { startGuard, type ApplyGuard, type SessionGuard } from './session-guard.ts'
import { outcomeRecord, readOutcome, writeOutcome, type OutcomeRecord } from './outcome-record.ts'

/**
 * `run`: the run's address or name; `readGuardProgram`: the guard's source text; `redact` removes secrets. `observedLease`:
 * what the run has seen of the Lease while it waited for it.
 */
export type SessionDeps = {
  run: string
  readGuardProgram: () => string
  redact: <T>(value: T) => T
  signal: AbortSignal
  clock: Clock
  note: (line: string) => void
  observedLease?: ObservedLease | undefined
}

export type LeaseSession = SessionGuard & {
  identity: string
  /** The hash of the pod template that is promoted. */
  template: string
  /** The progress of an earlier run of the same canary and plan. */
  resumedFrom: State | undefined
  /** How the last promotion of the service ended. */
  lastOutcome: OutcomeRecord | undefined
  /** The routes from before the promotion. */
  savedRoutes: Routed[]
  /** Renews the Lease and saves `state`. @throws LeaseLost if this run no longer holds the Lease. */
  renew: (state: State) => Promise<void>
  /** Renews the Lease. @throws LeaseLost if this run no longer holds it. */
  confirm: () => Promise<void>
  /** Creates a deleted Lease again. @throws LeaseLost if another run holds the promotion, or has ended it since. */
  reclaim: () => Promise<void>
  /** Saves `state` for a later run to resume. */
  release: (state: State) => Promise<void>
  /** The same, and its guard goes on: it rolls back if no run resumes within `waitMs`. */
  handOver: (state: State, waitMs: number) => Promise<void>
  /** Records how the promotion ended, and deletes the Lease and all objects that belong to it. */
  end: (state: EndedState) => Promise<void>
  /** Gives the promotion up before it has started; see `abandonClaim`. */
  abandon: () => Promise<void>
}

/** @throws Error if another run holds the Lease, or if the guard cannot be created; then it removes what it created. */
export async function openSession(
  cluster: Cluster,
  split: Split,
  plan: CanaryConfig,
  template: string,
  selectors: VersionSelectors,
  deps: SessionDeps,
): Promise<LeaseSession> {
  const { namespace, service } = split
  const { run, signal, clock, note, observedLease: observed } = deps
  const [leaseMs, waitMs] = [plan.guard.after, plan.leaseWaitTimeout]
  const claiming = { namespace, service, run, leaseMs, waitMs, signal, clock, note, observed }
  const claim = await claimLease(cluster, claiming).catch(withRemedy)
  const origin: Origin = { version: 5, plan: planHash(plan), template, run }
  const before = isResumable(claim.before, origin) ? asLeft(claim.before, claim) : undefined
  const abandon = () => abandonClaim(cluster, split, plan, selectors, claim, before)
  try {
    // The earlier run may wake up with a write that it has prepared.
    if (claim.isStolen) await fenceRoutes(cluster, split)
    const saved = await saveRoutes(cluster, split, claim, before !== undefined)
    const opening = { cluster, split, plan, selectors, claim, deps }
    const sessionGuard = await guardRoutes(opening, saved)
    const lastOutcome = await readOutcome(cluster, namespace, service)
    return {
      identity: claim.identity,
      template,
      lastOutcome,
      resumedFrom: before?.state,
      savedRoutes: saved,
      ...sessionGuard,
      confirm: () => claim.confirm(),
      ...lifecycleOf(opening, origin, lastOutcome, sessionGuard),
      abandon,
    }
  } catch (problem) {
    await abandon()
    throw problem
  }
}

type Origin = Pick<SavedPromotion, 'version' | 'plan' | 'template' | 'run'>

type Opening = {
  cluster: Cluster
  split: Split
  plan: CanaryConfig
  selectors: VersionSelectors
  claim: LeaseClaim
  deps: SessionDeps
}

function guardRoutes(
  { cluster, split, plan, selectors, claim, deps }: Opening,
  saved: Routed[],
): Promise<SessionGuard> {
  const apply: ApplyGuard = (routes, isUpdate = false) => {
    const settings = { split, plan, claim, saved: routes.map(withoutStatus), selectors }
    return applyGuard(cluster, { ...settings, program: deps.readGuardProgram() }, isUpdate)
  }
  const { namespace, service } = split
  const settings = { namespace, service, isEnabled: plan.guard.enabled, claim, routes: saved, apply }
  return startGuard(cluster, settings, deps)
}

/** How the session saves the progress of the promotion, and how it ends. */
function lifecycleOf(
  { cluster, split: { namespace, service }, plan, claim, deps: { redact } }: Opening,
  origin: Origin,
  lastOutcome: OutcomeRecord | undefined,
  { deleteGuard }: SessionGuard,
): Pick<LeaseSession, 'renew' | 'reclaim' | 'release' | 'handOver' | 'end'> {
  const record = (state: State): SavedPromotion => {
    const now = new Date()
    const guardMs = plan.guard.enabled ? { guardMs: plan.guard.after } : {}
    const shown = { ...progressView(plan, state, now.getTime()), ...guardMs }
    return redact({ ...origin, savedAt: now.toISOString(), state: compact(state), shown })
  }
  const recordOutcome = once(async (state: EndedState) => {
    // Only the holder may say how it ended.
    await claim.confirm()
    const outcome = { ...outcomeRecord(state, origin.template, origin.run), session: claim.identity }
    await writeOutcome(cluster, namespace, service, redact(outcome))
  })
  const releaseLease = once((state: State) => claim.release(record(state)))
  return {
    renew: (state) => claim.renew(record(state)),
    reclaim: async () => {
      const outcome = await readOutcome(cluster, namespace, service)
      const isEndedByOther = outcome?.session !== claim.identity && !isDeepStrictEqual(outcome, lastOutcome)
      if (outcome && isEndedByOther) throw new LeaseLost(`${outcome.run} ended the promotion: ${outcome.reason}`)
      await claim.recreate()
    },
    release: async (state) => {
      if (state.phase === 'ended') await recordOutcome(state)
      await releaseLease(state)
      await deleteGuard()
    },
    handOver: (state, resumeWithinMs) => claim.handOver(record(state), resumeWithinMs),
    end: async (state) => {
      await recordOutcome(state)
      await claim.end()
    },
  }
}

/** What has succeeded once is not repeated when a later part of the same work fails. */
function once<T>(work: (argument: T) => Promise<void>): (argument: T) => Promise<void> {
  let isDone = false
  return async (argument) => {
    if (!isDone) await work(argument)
    isDone = true
  }
}

/**
 * Leaves the promotion as this run found it. A promotion that an earlier run of the same canary handed over keeps waiting
 * for the next run. After a lost run, and for another canary, it first returns the traffic to stable, because that run's
 * guard ends with the Lease. If that fails, it stops renewing the Lease, and a guard returns the traffic. Never rejects.
 */
async function abandonClaim(
  cluster: Cluster,
  split: Split,
  { guard }: CanaryConfig,
  selectors: VersionSelectors,
  claim: LeaseClaim,
  before: SavedPromotion | undefined,
): Promise<void> {
  try {
    // With `guard: off` this run has ended the guard that waits for the next one.
    if (claim.isHandedOver && before && guard.enabled) return await claim.handOver(before, claim.resumeWithinLeftMs)
    if ((claim.isStolen || claim.isHandedOver) && claim.wasGuarded) {
      await requireRollbackTarget(cluster, split, selectors)
      const saved = await readSavedRoutes(cluster, split.namespace, split.service)
      await resetToStable(cluster, split, { saved, beforeWrite: () => claim.confirm() })
    }
    await (before ? claim.release(before) : claim.end())
  } catch {
    // The caller reports why the promotion did not start.
  }
}

function withRemedy(problem: unknown): never {
  if (!lacksRights(problem)) throw problem
  throw new Error(
    `the run cannot write the Lease of the promotion: ${problem.message}; ` +
      'give the run the rights of deploy/rbac/deliver.yaml',
  )
}

/** True if an earlier run of the same canary and plan did not finish, or stopped where the plan says so. */
function isResumable(
  saved: SavedPromotion | undefined,
  { plan, template }: Pick<SavedPromotion, 'plan' | 'template'>,
): saved is SavedPromotion {
  if (saved?.plan !== plan || saved.template !== template) return false
  return saved.state.phase !== 'ended' || isHeldAsPlanned(saved.state)
}

/** Whoever was lost has left nothing, so the time that the canary was watched at its weight ends there. */
function asLeft(saved: SavedPromotion, { isStolen, wasEnded }: LeaseClaim): SavedPromotion {
  return isStolen || wasEnded ? { ...saved, state: withoutWatchedTime(saved.state) } : saved
}

/** The state without the times of each step, which nothing reads: a hundred steps must fit into an annotation. */
function compact(state: State): State {
  const withoutTimes = (counts: RequestCounts): RequestCounts => ({ ...counts, times: noRequests.times })
  return mapSteps(state, (step) => ({ ...step, canary: withoutTimes(step.canary), stable: withoutTimes(step.stable) }))
}

/**
 * The routes from before the promotion, which it stores: those that an earlier run saved, if this run resumes it, and
 * the current routes that came later.
 */
async function saveRoutes(
  cluster: Cluster,
  split: Split,
  { lease }: LeaseClaim,
  isResumed: boolean,
): Promise<Routed[]> {
  const { namespace, service } = split
  const saved = isResumed ? await readSavedRoutes(cluster, namespace, service) : []
  const keys = new Set(saved.map(keyOf))
  const added = (await currentRoutes(cluster, split, saved)).filter((object) => !keys.has(keyOf(object)))
  requireNoFault(added)
  const routes = [...saved, ...added.map(withoutStatus)]
  await cluster.apply<ConfigMap>(
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: leaseName(service),
        namespace,
        labels: { [managedByLabel]: manager },
        ownerReferences: [ownerReference(lease)],
      },
      data: { 'routes.json': JSON.stringify(routes) },
    },
    true,
  )
  return routes
}

/** Its route would send the canary faulty requests. @throws Error if an experiment that was lost has left one. */
function requireNoFault(objects: Routed[]): void {
  const isFaulted = (object: Routed) =>
    isVirtualService(object) && (object.spec.http ?? []).some(({ name }) => name === faultRouteName)
  const found = objects.find(isFaulted)
  if (!found) return
  throw new Error(
    `the ${titleOf(found)} still has the fault of an experiment (its route ${faultRouteName}); its guard removes it within ` +
      'seconds, or run an experiment of the same service once more, which removes it before it begins',
  )
}

/** Having no route is an error only if nothing was saved either. */
function currentRoutes(cluster: Cluster, split: Split, saved: Routed[]): Promise<Routed[]> {
  return saved.length > 0 ? listSplittingRoutes(cluster, split) : readRoutes(cluster, split)
}

function withoutStatus(object: Routed): Routed {
  const { name, namespace, labels = {}, annotations = {} } = object.metadata
  return { ...object, metadata: { name, namespace: namespace ?? '', labels, annotations } }
}

/** The routes from before the unfinished promotion; empty when there is none. */
export async function readSavedRoutes(cluster: Cluster, namespace: string, service: string): Promise<Routed[]> {
  const text = (await cluster.get<ConfigMap>('ConfigMap', namespace, leaseName(service)))?.data?.['routes.json']
  return text === undefined ? [] : (JSON.parse(text) as Routed[])
}
