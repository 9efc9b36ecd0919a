// The state of a promotion in the words of its hooks.
/** What external checks and hooks are told about the promotion. The phases are Flagger's. */
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
