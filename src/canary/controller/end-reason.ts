// Adds the cause from its pods and their events to the reason of an ended promotion.
import { isReady } from '../../cluster/pods.ts'
import { causeOf } from '../../verify/cause.ts'
import type { Sample } from '../metrics/observer.ts'
import { isHeldAsPlanned } from '../state/ending.ts'
import type { State } from '../state/types.ts'
import { explainNoRequests } from './no-requests.ts'
import type { PromotionContext } from './context.ts'

/** `before`: the state in which this run began; `sample`: the last one. */
export async function withCause(
  context: PromotionContext,
  before: State,
  after: State,
  sample: Sample,
): Promise<State> {
  if (after.phase !== 'ended' || after.verdict === 'promoted' || isHeldAsPlanned(after)) return after
  const hasStarted = after.steps.length > before.steps.length
  const cause = await causeOfEnd(context, sample, after, hasStarted)
  return cause === undefined ? after : { ...after, reason: `${after.reason}: ${cause}` }
}

async function causeOfEnd(
  context: PromotionContext,
  { health }: Sample,
  after: State,
  hasStarted: boolean,
): Promise<string | undefined> {
  const { cluster, session, observer } = context
  if (!session.isGuarded() && !hasStarted) return session.explainMissingGuard().catch(() => undefined)
  if (health.ready) return hasNoRequests(after) ? explainNoRequests(context, after).catch(() => undefined) : undefined
  const broken = health.podFailure?.pod ?? observer.canaries().find((pod) => !isReady(pod))
  if (!broken) return 'it has no pod; check whether its Deployment is scaled to 0'
  return causeOf(cluster, broken).catch(() => undefined)
}

function hasNoRequests(state: State): boolean {
  return state.phase === 'ended' && 'unreached' in state
}
