// The guard of a session: starts it, tells whether it watches, and creates it again if it is gone.
import type { Cluster } from '../../cluster/client.ts'
import type { Routed } from '../../policies/routes.ts'
import { keyOf } from '../../cluster/objects.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import { deleteGuard, explainMissingGuard, readGuardState, refusalOfGuard } from './guard-job.ts'
import { guardName } from './guard-manifest.ts'
import type { LeaseClaim } from './lease.ts'

/**
 * `uncovered`: it runs, and does not know a route that has appeared since. `refused`: the API server refuses the pod of
 * its Job, which does not end by itself.
 */
export type GuardStatus = 'watching' | 'starting' | 'uncovered' | 'refused'

export type SessionGuard = {
  isGuarded: () => boolean
  guardStatus: () => Promise<GuardStatus>
  /** Looks now and then whether the guard still runs, and creates it again if it is gone. */
  checkGuard: () => Promise<void>
  /**
   * Tells the guard of routes that appeared during the promotion. Until that has succeeded, nothing counts as guarded.
   */
  coverRoutes: (objects: Routed[]) => Promise<void>
  /** Why the guard Job has not started, or which routes it does not restore. */
  explainMissingGuard: () => Promise<string>
  /** Deletes the guard and keeps the Lease. */
  deleteGuard: () => Promise<void>
}

type Deps = { clock: Clock; note: (line: string) => void }

/** Creates the objects of a guard that restores these routes, or only tells it of them. */
export type ApplyGuard = (routes: Routed[], isUpdate?: boolean) => Promise<void>

type GuardSettings = {
  namespace: string
  service: string
  isEnabled: boolean
  claim: LeaseClaim
  /** As they were before the promotion. */
  routes?: Routed[]
  apply: ApplyGuard
}

/** @throws Error if the API server refuses an object of the guard. */
export async function startGuard(cluster: Cluster, settings: GuardSettings, deps: Deps): Promise<SessionGuard> {
  const { namespace, service, isEnabled, claim, routes = [], apply } = settings
  const name = guardName(service, claim.identity)
  const guarded = new GuardedRoutes(routes, apply)
  const create = () => apply(guarded.routes)
  const isGuarded = () => !isEnabled || (claim.guarded() && guarded.isComplete)
  if (isEnabled) await create()
  else {
    await claim.declineGuard()
    deps.note(`${service}: \`guard: off\`: if this run is lost, the traffic stays as it is at that moment`)
  }
  return {
    isGuarded,
    guardStatus: async () => {
      if (isGuarded()) return 'watching'
      if (claim.guarded()) return 'uncovered'
      const refusal = await refusalOfGuard(cluster, namespace, name)
      return refusal === undefined ? 'starting' : 'refused'
    },
    checkGuard: isEnabled ? guardCheck(cluster, namespace, name, claim, create, deps) : () => Promise.resolve(),
    coverRoutes: async (objects) => {
      const added = isEnabled ? await guarded.add(objects) : []
      if (added.length > 0) deps.note(`the guard also restores ${added.join(', ')}, new since the promotion began`)
    },
    explainMissingGuard: async () =>
      claim.guarded() && !guarded.isComplete ? guarded.explain() : explainMissingGuard(cluster, namespace, name),
    deleteGuard: () => deleteGuard(cluster, namespace, name),
  }
}

/** The routes that the guard restores. */
class GuardedRoutes {
  routes: Routed[]
  /** The names of the routes that it could not be told of, and why. */
  private missing: { names: string[]; why: string } | undefined
  private readonly apply: ApplyGuard

  constructor(routes: Routed[], apply: ApplyGuard) {
    this.routes = routes
    this.apply = apply
  }

  /** Returns the names of the objects that the guard did not know. */
  async add(objects: Routed[]): Promise<string[]> {
    const known = new Set(this.routes.map(keyOf))
    const added = objects.filter((object) => !known.has(keyOf(object)))
    const names = added.map(keyOf)
    this.missing = added.length > 0 ? { names, why: 'it is being told of them' } : undefined
    if (added.length === 0) return []
    const routes = [...this.routes, ...added]
    try {
      await this.apply(routes, true)
    } catch (problem) {
      this.missing = { names, why: messageOf(problem) }
      throw problem
    }
    this.routes = routes
    this.missing = undefined
    return names
  }

  /** True if it knows all routes that have appeared. */
  get isComplete(): boolean {
    return this.missing === undefined
  }

  explain(): string {
    const { names = [], why = '' } = this.missing ?? {}
    return `the guard runs, but would not restore ${names.join(', ')}, which appeared during the promotion: ${why}`
  }
}

const checkMs = 10_000

function guardCheck(
  cluster: Cluster,
  namespace: string,
  name: string,
  claim: LeaseClaim,
  create: () => Promise<void>,
  { clock, note }: Deps,
): () => Promise<void> {
  let checkedAt = clock.now()
  return async () => {
    if (clock.now() - checkedAt < checkMs) return
    checkedAt = clock.now()
    const state = await readGuardState(cluster, namespace, name)
    if (state !== 'running' && claim.guarded()) await claim.reportGuardDown()
    if (state !== 'gone') return
    note(`the guard Job ${name} is gone: creating it again`)
    await cluster.remove('Job', namespace, name)
    await create()
  }
}
