// The status of a promotion as the hooks get it; the phases are Flagger's.
import type { CanaryConfig } from '../../config/schema.ts'
import type { State } from '../state/types.ts'

/** What external checks and hooks are told about the promotion. */
export type PromotionStatus = {
  namespace: string
  service: string
  stable: string
  canary: string
  /** The canary's weight in per cent. */
  weight: number
  step: number
  phase: 'Waiting' | 'Progressing' | 'WaitingPromotion' | 'Succeeded' | 'Failed'
  intervalMs: number
  cluster?: ClusterOfFleet
}

/** Of a fleet: its name there, and how kubectl reaches it. */
export type ClusterOfFleet = { name: string; kubeconfig?: string; context?: string }

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
