// Adds the cause from its pods and their events to the reason of an ended promotion.
import { isReady } from '../../cluster/pods.ts'
import { causeOf } from '../../verify/cause.ts'
import type { Sample } from '../metrics/observer.ts'
import { isHeldAsPlanned } from '../state/ending.ts'
import type { EndedState, State } from '../state/types.ts'
import { explainNoRequests } from './no-requests.ts'
import type { PromotionContext } from './context.ts'

/** `sample`: the last one. */
export async function withCause(context: PromotionContext, after: State, sample: Sample): Promise<State> {
  if (after.phase !== 'ended' || after.verdict === 'promoted' || isHeldAsPlanned(after)) return after
  const cause = await causeOfEnd(context, sample, after)
  return cause === undefined ? after : { ...after, reason: `${after.reason}: ${cause}` }
}

async function causeOfEnd(
  context: PromotionContext,
  { health }: Sample,
  after: EndedState,
): Promise<string | undefined> {
  const { cluster, session, observer } = context
  const about = 'about' in after ? after.about : undefined
  if (about === 'guard') return session.explainMissingGuard().catch(() => undefined)
  // The cause is looked up once the weight is back at 0.
  if (about === 'share') return undefined
  if (health.ready)
    return about === 'no requests' ? explainNoRequests(context, after).catch(() => undefined) : undefined
  const broken = health.podFailure?.pod ?? observer.canaries().find((pod) => !isReady(pod))
  if (!broken) return 'it has no pod; check whether its Deployment is scaled to 0'
  return causeOf(cluster, broken).catch(() => undefined)
}
