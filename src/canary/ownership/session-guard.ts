// The guard of a session: starts it, tells whether it watches, and creates it again if it is gone.
import type { Cluster } from '../../cluster/client.ts'
import type { Split } from '../../policies/routes.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import type { Clock } from '../../runtime/clock.ts'
import { deleteGuard, explainMissingGuard, readGuardState, refusalOfGuard } from './guard-job.ts'
import { guardName } from './guard-manifest.ts'
import type { LeaseClaim } from './lease.ts'

/** `refused`: the API server refuses the pod of its Job, which does not end by itself. */
export type GuardStatus = 'watching' | 'starting' | 'refused'

export type SessionGuard = {
  isGuarded: () => boolean
  guardStatus: () => Promise<GuardStatus>
  /** Looks now and then whether the guard still runs, and creates it again if it is gone. */
  checkGuard: () => Promise<void>
  /** Why the guard Job has not started. */
  explainMissingGuard: () => Promise<string>
  /** Deletes the guard and keeps the Lease. */
  deleteGuard: () => Promise<void>
}

type Deps = { clock: Clock; note: (line: string) => void }

/** `create` creates the objects of the guard. @throws Error if the API server refuses one. */
export async function startGuard(
  cluster: Cluster,
  { namespace, service }: Split,
  { guard }: CanaryConfig,
  claim: LeaseClaim,
  create: () => Promise<void>,
  deps: Deps,
): Promise<SessionGuard> {
  const name = guardName(service, claim.identity)
  const isGuarded = () => !guard.enabled || claim.guarded()
  if (guard.enabled) await create()
  else {
    await claim.declineGuard()
    deps.note(`${service}: \`guard: off\`: if this run is lost, the traffic stays as it is at that moment`)
  }
  return {
    isGuarded,
    guardStatus: async () => {
      if (isGuarded()) return 'watching'
      const refusal = await refusalOfGuard(cluster, namespace, name)
      return refusal === undefined ? 'starting' : 'refused'
    },
    checkGuard: guard.enabled ? guardCheck(cluster, namespace, name, claim, create, deps) : () => Promise.resolve(),
    explainMissingGuard: () => explainMissingGuard(cluster, namespace, name),
    deleteGuard: () => deleteGuard(cluster, namespace, name),
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
