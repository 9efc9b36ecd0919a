// Checks that the canary of an aborted rollout serves no more requests.
import type { Promotion } from '../canary/controller/context.ts'
import { waitForDrain } from '../canary/controller/drain.ts'
import { sampleSidecars } from '../canary/controller/drain-source.ts'
import { explainUndrained } from '../canary/controller/undrained.ts'
import type { Observer } from '../canary/metrics/observer.ts'
import { canaryRate } from '../canary/state/steps.ts'
import type { VersionSelectors } from '../canary/workload/selectors.ts'
import type { FollowContext } from './context.ts'

/** With `secondsToSafe`, or inconclusive with what still sends requests to the canary. */
export async function confirmDrained(
  { cluster, split, plan, deps }: FollowContext,
  observer: Observer,
  selectors: VersionSelectors,
  ended: Promotion,
): Promise<Promotion> {
  const { clock, note, signal } = deps
  const result = await waitForDrain(sampleSidecars({ observer }), {
    timeoutMs: plan.progressDeadline,
    perSecond: canaryRate(ended, clock.now()) ?? 0,
    isOver: () => signal.aborted,
    clock,
    note,
  })
  const scope = { selectors, clients: plan.clients, metrics: plan.metrics }
  const undrained = await explainUndrained(cluster, split, result, scope, note, clock)
  const hasSeconds = result.kind === 'drained' && result.secondsToSafe !== undefined
  const known = { ...ended, ...(hasSeconds ? { secondsToSafe: result.secondsToSafe! } : {}) }
  if (!undrained) return known
  const reason = `${ended.reason}; but ${undrained.text}`
  return { ...known, verdict: 'inconclusive', reason, error: reason }
}
