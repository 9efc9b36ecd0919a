// Writes the actions of the state machine to the cluster: in order, one at a time, and again while the API server
// refuses them.
import type { Cluster } from '../../cluster/client.ts'
import { ApiError, isForbidden } from '../../cluster/api-error.ts'
import type { Action, State } from '../state/types.ts'
import type { Routed, Split } from '../../policies/routes.ts'
import type { RouteWrite } from '../traffic/patch-routes.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { LeaseSession } from '../ownership/session.ts'
import { removeManagedRoutes, resetToStable, setHeaderRoute, setMirror, setWeight } from '../traffic/router.ts'
import { weightBeforeEnd } from '../state/steps.ts'
import { StableOutage } from '../workload/endpoints.ts'
import { ReplicasNotReady, type Capacity } from './context.ts'
import { describeAction } from './log-format.ts'

/** An API server that has just started forbids everything until it has loaded its rights. */
const forbiddenMs = 15_000
/** The watch may lag behind the writes of two samples. Older writes do not matter. */
const keptWrites = 20

/**
 * Whether another attempt may succeed: no answer, a busy server, an unreachable webhook of istiod, credentials that are
 * about to be renewed, a conflict with another writer, a stable version that has no endpoint at the moment, or a canary
 * whose pods are still starting.
 */
export function isTransient(problem: unknown): boolean {
  if (problem instanceof StableOutage || problem instanceof ReplicasNotReady) return true
  return (
    problem instanceof ApiError &&
    (problem.status === 0 || problem.status >= 500 || [401, 403, 409, 422, 429].includes(problem.status))
  )
}

/** Nothing was sent, or the server has answered that it did not write: no answer, or one of a proxy, may be to a write. */
function isUnwritten(problem: unknown): boolean {
  if (problem instanceof ReplicasNotReady) return true
  return problem instanceof ApiError && problem.status > 0 && problem.status !== 502 && problem.status !== 504
}

/**
 * `state`: the promotion as it is when an action is written. `rollbackObstacle`: why its traffic cannot return to
 * stable now.
 */
export type WriterDeps = {
  cluster: Cluster
  split: Split
  plan: CanaryConfig
  session: Pick<LeaseSession, 'renew' | 'savedRoutes' | 'coverRoutes'>
  state: () => State
  rollbackObstacle: () => string | undefined
  capacity?: Capacity | undefined
  clock: Clock
  note: (line: string) => void
}

export class RouteWriter {
  private readonly deps: WriterDeps
  private pending: Action[] = []
  private refusedSince: number | undefined
  private refusal: unknown
  private recent: RouteWrite[] = []
  private turn: Promise<unknown> = Promise.resolve()

  constructor(deps: WriterDeps) {
    this.deps = deps
  }

  /** Returns whether everything is written. @throws Error if the server refuses for too long, or permanently. */
  write(actions: Action[]): Promise<boolean> {
    this.pending = [...this.pending, ...actions]
    return this.inTurn()
  }

  /** Retries pending actions; returns and throws like `write`. */
  settled(): Promise<boolean> {
    return this.pending.length === 0 ? Promise.resolve(true) : this.inTurn()
  }

  /** Drops the pending actions. */
  drop(): void {
    this.pending = []
    this.refusedSince = undefined
  }

  isIdle(): boolean {
    return this.pending.length === 0
  }

  /** All that is left is a weight, and it is certain that it is not in force. */
  isWeightRefused(): boolean {
    const [action, another] = this.pending
    return action?.kind === 'weight' && !another && isUnwritten(this.refusal)
  }

  /** The last writes, by which a watch that lags behind is recognized. */
  written(): readonly RouteWrite[] {
    return this.recent
  }

  /** One at a time: a rollback that starts in the middle of a write comes after it. */
  private inTurn(): Promise<boolean> {
    const mine = this.turn.then(() => this.writePending())
    this.turn = mine.catch(() => undefined)
    return mine
  }

  private async writePending(): Promise<boolean> {
    const { plan, note } = this.deps
    while (this.pending.length > 0) {
      const action = this.pending[0]!
      try {
        this.recent = [...this.recent, ...(await applyAction(this.deps, action))].slice(-keptWrites)
      } catch (problem) {
        this.refusal = problem
        this.throwWhenOverdue(problem)
        note(`not written yet (${describeAction(plan, action)}): ${messageOf(problem)}`)
        return false
      }
      this.refusedSince = undefined
      this.refusal = undefined
      note(describeAction(plan, action))
      if (action.kind === 'weight' && action.weight > 0) await this.prepareNext(action.weight)
      // `drop` may have removed it while it was written.
      if (this.pending[0] === action) this.pending = this.pending.slice(1)
    }
    return true
  }

  /** Too early to fail: the next weight waits for the pods anyway. */
  private async prepareNext(weight: number): Promise<void> {
    await this.deps.capacity?.scaleForNextStep(weight).catch((problem: unknown) => {
      this.deps.note(`the pods for the next step could not be started yet: ${messageOf(problem)}`)
    })
  }

  private throwWhenOverdue(problem: unknown): void {
    if (!isTransient(problem)) throw problem
    const { clock, plan } = this.deps
    this.refusedSince ??= clock.now()
    const limitMs = isForbidden(problem) ? Math.min(forbiddenMs, plan.progressDeadline) : plan.progressDeadline
    if (clock.now() - this.refusedSince < limitMs) return
    const limit = `${limitMs / 1000} s${isForbidden(problem) ? '' : ' (`progressDeadline`)'}`
    throw new Error(`${messageOf(problem)}, for ${limit}`, { cause: problem })
  }
}

/** Each write follows a renewal, which saves the state, and which only the holder of the Lease can make. */
async function applyAction(deps: WriterDeps, action: Action): Promise<RouteWrite[]> {
  const { cluster, split, plan, session, state, capacity } = deps
  const renew = () => session.renew(state())
  // The guard knows every route before the canary gets traffic by it.
  const renewGuarded = async (objects: Routed[]) => {
    await session.coverRoutes(objects)
    await renew()
  }
  switch (action.kind) {
    case 'weight':
      if (action.weight === 0) requireTarget(deps)
      else await capacity?.ensureReplicas(action.weight)
      return action.weight === 0
        ? resetToStable(cluster, split, { saved: session.savedRoutes, beforeWrite: renew })
        : setWeight(cluster, split, action.weight, renewGuarded)
    case 'mirror':
      await capacity?.ensureReplicas(action.percent)
      return setMirror(cluster, split, action.percent, renewGuarded)
    case 'ab':
      return setHeaderRoute(cluster, split, plan.ab!.match, renewGuarded)
    case 'clear':
      return removeManagedRoutes(cluster, split, renew)
  }
}

/** @throws StableOutage if the canary has traffic, and stable could not serve it. */
function requireTarget({ state, rollbackObstacle }: WriterDeps): void {
  const obstacle = weightBeforeEnd(state()) > 0 ? rollbackObstacle() : undefined
  if (obstacle !== undefined) throw new StableOutage(obstacle)
}
