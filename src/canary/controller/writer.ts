// What was decided, written to the cluster: in its order, one at a time, and again while the API server does not take it.
import { ApiError, type Cluster } from '../../cluster/client.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import { messageOf } from '../../runtime/errors.ts'
import { monotonicNow } from '../../runtime/clock.ts'
import type { LeaseSession } from '../ownership/session.ts'
import type { Action, State } from '../state/machine.ts'
import { describeAction } from './log-format.ts'
import {
  removeManagedRoutes,
  setMirror,
  setWeight,
  resetToStable,
  setHeaderRoute,
  type Routed,
  type Split,
  type RouteWrite,
} from '../traffic/router.ts'

/** An API server that has just started forbids everything until it knows who may do what. */
const forbiddenMs = 15_000

const isForbidden = (problem: unknown) => problem instanceof ApiError && problem.status === 403

/** No answer, a server that is busy, a webhook of istiod that is away, credentials that are about to be renewed, others writing: it may pass. */
export function isTransient(problem: unknown): boolean {
  return (
    problem instanceof ApiError &&
    (problem.status === 0 || problem.status >= 500 || [401, 403, 409, 422, 429].includes(problem.status))
  )
}

/** Writes what was decided, in its order and one at a time, and again while the API server does not take it. */
export function createWriter(
  cluster: Cluster,
  split: Split,
  plan: CanaryConfig,
  { renew, savedRoutes }: LeaseSession,
  state: () => State,
  note: (line: string) => void,
) {
  let pending: Action[] = []
  let refusedSince: number | undefined
  let written: RouteWrite[] = []
  let turn: Promise<unknown> = Promise.resolve()

  async function all(): Promise<boolean> {
    while (pending.length > 0) {
      const action = pending[0]!
      try {
        // How far it is is saved before it is done, and only by who still holds the Lease.
        await renew(state())
        // Two looks at the watch may still lag behind; older writes do not count.
        written = [...written, ...(await applyAction(cluster, split, plan, action, savedRoutes))].slice(-20)
      } catch (problem) {
        if (!isTransient(problem)) throw problem
        refusedSince ??= monotonicNow()
        const limit = isForbidden(problem) ? Math.min(forbiddenMs, plan.progressDeadline) : plan.progressDeadline
        if (monotonicNow() - refusedSince >= limit)
          throw new Error(
            `${messageOf(problem)}, for ${limit / 1000} s${isForbidden(problem) ? '' : ' (`progressDeadline`)'}`,
            { cause: problem },
          )
        note(`not written yet (${describeAction(plan, action)}): ${messageOf(problem)}`)
        return false
      }
      refusedSince = undefined
      note(describeAction(plan, action))
      if (pending[0] === action) pending = pending.slice(1)
    }
    return true
  }

  /** One at a time: what is stopped in the middle of a write comes after it. */
  const inTurn = () => {
    const mine = turn.then(all)
    turn = mine.catch(() => undefined)
    return mine
  }
  return {
    write: (actions: Action[]) => {
      pending = [...pending, ...actions]
      return inTurn()
    },
    /** True when there is nothing left to write. */
    settled: () => (pending.length === 0 ? Promise.resolve(true) : inTurn()),
    drop: () => {
      pending = []
      refusedSince = undefined
    },
    idle: () => pending.length === 0,
    written: () => written,
  }
}

async function applyAction(
  cluster: Cluster,
  split: Split,
  plan: CanaryConfig,
  action: Action,
  saved: Routed[],
): Promise<RouteWrite[]> {
  if (action.kind === 'weight')
    return action.weight === 0 ? resetToStable(cluster, split, saved) : setWeight(cluster, split, action.weight)
  if (action.kind === 'mirror') return setMirror(cluster, split, action.percent)
  return action.kind === 'ab' ? setHeaderRoute(cluster, split, plan.ab!.match) : removeManagedRoutes(cluster, split)
}
