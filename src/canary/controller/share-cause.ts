// Looks up why the canary's share of the requests differed from its weight, once its weight is back at 0.
import { addShare, differsFromWeight, noShare } from '../analysis/share.ts'
import { shareOfCallersWithoutSidecar } from '../state/share-rules.ts'
import type { State, Step } from '../state/types.ts'
import type { PromotionContext } from './context.ts'
import { lookUpCauses } from './bypass-causes.ts'

/** Undefined unless the last step ended because of its share. Callers without a sidecar are a cause in the reason. */
export async function causeOfShare(
  { cluster, split, selectors, plan, pinned, deps }: PromotionContext,
  state: State,
): Promise<string | undefined> {
  const step = state.steps.at(-1)
  if (!step || !endedByShare(step, pinned)) return undefined
  if (shareOfCallersWithoutSidecar(state) !== undefined) return undefined
  const scope = { selectors, clients: plan.clients, metrics: plan.metrics }
  const { causes, notes } = await lookUpCauses(cluster, split, scope, deps.clock)
  return causes.length > 0 ? causes.join('; ') : notes
}

function endedByShare(step: Step, pinned: PromotionContext['pinned']): boolean {
  if (step.kind !== 'weight' || (step.outcome !== 'inconclusive' && step.outcome !== 'held')) return false
  // A step whose traffic has not moved counts from its start.
  const watched = 'watched' in step ? step.watched : undefined
  const share = watched ? watched.share : addShare(noShare, step.canary, step.stable)
  return share !== undefined && differsFromWeight(share, step.weight, pinned) !== undefined
}
