// Keeps what a promotion needs to outlive its run: the Lease with its progress, the routes from before it, and the
// guard.
import type { Cluster } from '../../cluster/client.ts'
import { lacksRights } from '../../cluster/api-error.ts'
import { isHeldAsPlanned } from '../state/ending.ts'
import type { State } from '../state/types.ts'
import type { Routed, Split } from '../../policies/routes.ts'
import { managedByLabel, manager } from '../../cluster/labels.ts'
import type { ConfigMap } from '../../cluster/objects.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import type { Clock } from '../../runtime/clock.ts'
import { noRequests, type RequestCounts } from '../analysis/request-counts.ts'
import { mapSteps } from '../state/steps.ts'
import { readRoutes } from '../traffic/router.ts'
import type { VersionSelectors } from '../workload/selectors.ts'
import { planHash } from '../workload/fingerprint.ts'
import { createGuard, deleteGuard, explainMissingGuard, refusalOfGuard } from './guard-job.ts'
import { guardName } from './guard-manifest.ts'
import { claimLease, type LeaseClaim } from './lease.ts'
import { leaseName, ownerReference, type SavedPromotion } from './lease-object.ts'

/** `run`: the run's address or name; `readGuardProgram`: the guard's source text; `redact` removes secrets. */
export type SessionDeps = {
  run: string
  readGuardProgram: () => string
  redact: <T>(value: T) => T
  signal: AbortSignal
  clock: Clock
  note: (line: string) => void
}

/** `refused`: the API server refuses the pod of its Job, which does not end by itself. */
export type GuardStatus = 'watching' | 'starting' | 'refused'

export type LeaseSession = {
  identity: string
  /** The progress of an earlier run of the same canary and plan. */
  resumedFrom: State | undefined
  /** The routes from before the promotion. */
  savedRoutes: Routed[]
  isGuarded: () => boolean
  guardStatus: () => Promise<GuardStatus>
  /** Why the guard Job has not started. */
  explainMissingGuard: () => Promise<string>
  /** @throws LeaseLost if this run no longer holds the Lease. */
  renew: (state: State) => Promise<void>
  /** Deletes the guard and keeps the Lease. */
  deleteGuard: () => Promise<void>
  /** Saves `state` for a later run to resume. */
  release: (state: State) => Promise<void>
  /** Deletes the Lease and all objects that belong to it, because the promotion is over. */
  end: () => Promise<void>
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
  const { guard, leaseWaitTimeout } = plan
  const { run, signal, clock, note, redact } = deps
  const claim = await claimLease(cluster, {
    namespace,
    service,
    run,
    leaseMs: guard.after,
    waitMs: leaseWaitTimeout,
    signal,
    clock,
    note,
  }).catch(withRemedy)
  const origin = { version: 3, plan: planHash(plan), template, run } as const
  const before = isResumable(claim.before, origin) ? claim.before : undefined
  try {
    const saved = await saveRoutes(cluster, split, claim, before !== undefined)
    if (guard.enabled) await createGuard(cluster, split, plan, claim, saved, selectors, deps.readGuardProgram())
    else note(`${service}: \`guard: off\`: if this run is lost, the traffic stays as it is at that moment`)
    const record = (state: State): SavedPromotion =>
      redact({ ...origin, savedAt: new Date().toISOString(), state: compact(state) })
    const name = guardName(service, claim.identity)
    const isGuarded = () => !guard.enabled || claim.guarded()
    const guardStatus = async () => {
      if (isGuarded()) return 'watching'
      const refusal = await refusalOfGuard(cluster, namespace, name)
      return refusal === undefined ? 'starting' : 'refused'
    }
    return {
      identity: claim.identity,
      resumedFrom: before?.state,
      savedRoutes: saved,
      isGuarded,
      guardStatus,
      explainMissingGuard: () => explainMissingGuard(cluster, namespace, name),
      renew: (state) => claim.renew(record(state)),
      deleteGuard: () => deleteGuard(cluster, namespace, name),
      release: async (state) => {
        await claim.release(record(state))
        await deleteGuard(cluster, namespace, name)
      },
      end: claim.end,
    }
  } catch (problem) {
    // What an earlier run left must survive this run's failure to start.
    await (before ? claim.release(before) : claim.end()).catch(() => undefined)
    throw problem
  }
}

function withRemedy(problem: unknown): never {
  if (!lacksRights(problem)) throw problem
  throw new Error(
    `canary: the run cannot write the Lease of the promotion: ${problem.message}; ` +
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

/** The state without the times of each step, which nothing reads: a hundred steps must fit into an annotation. */
function compact(state: State): State {
  const withoutTimes = (counts: RequestCounts): RequestCounts => ({ ...counts, times: noRequests.times })
  return mapSteps(state, (step) => ({ ...step, canary: withoutTimes(step.canary), stable: withoutTimes(step.stable) }))
}

/** The routes that an earlier run saved, if this run resumes it; otherwise the current ones, which it saves. */
async function saveRoutes(
  cluster: Cluster,
  split: Split,
  { lease }: LeaseClaim,
  isResumed: boolean,
): Promise<Routed[]> {
  const { namespace, service } = split
  const name = leaseName(service)
  const saved = isResumed ? await readSavedRoutes(cluster, namespace, service) : []
  if (saved.length > 0) return saved
  const routes = (await readRoutes(cluster, split)).map((object) => {
    const { name, labels = {}, annotations = {} } = object.metadata
    return { ...object, metadata: { name, namespace, labels, annotations } }
  })
  await cluster.apply<ConfigMap>(
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace, labels: { [managedByLabel]: manager }, ownerReferences: [ownerReference(lease)] },
      data: { 'routes.json': JSON.stringify(routes) },
    },
    true,
  )
  return routes
}

/** The routes from before the unfinished promotion; empty when there is none. */
export async function readSavedRoutes(cluster: Cluster, namespace: string, service: string): Promise<Routed[]> {
  const text = (await cluster.get<ConfigMap>('ConfigMap', namespace, leaseName(service)))?.data?.['routes.json']
  return text === undefined ? [] : (JSON.parse(text) as Routed[])
}
