// The status of a promotion as the hooks get it; the phases are Flagger's.
import type { CanaryConfig } from '../../config/schema.ts'
import type { ClusterOfFleet, PromotionStatus } from '../hooks/promotion-status.ts'
import type { State } from '../state/types.ts'

export function hookStatus(
  namespace: string,
  plan: CanaryConfig,
  state: State,
  cluster: ClusterOfFleet | undefined,
): PromotionStatus {
  return {
    namespace,
    service: plan.service,
    stable: plan.stable.name,
    canary: plan.canary.name,
    weight: state.weight,
    step: state.steps.length,
    phase: phaseOf(state),
    intervalMs: plan.interval,
    ...(cluster ? { cluster } : {}),
  }
}

function phaseOf(state: State): PromotionStatus['phase'] {
  if (state.phase === 'waiting') return 'Waiting'
  if (state.phase === 'confirming') return 'WaitingPromotion'
  if (state.phase !== 'ended') return 'Progressing'
  return state.verdict === 'promoted' || state.verdict === 'held' ? 'Succeeded' : 'Failed'
}
