// What somebody outside answers about the canary, and what they are told of the promotion.
import type { Finding } from '../state/types.ts'

export type { Finding, Gate } from '../state/types.ts'
export type Answer = Pick<Finding, 'state' | 'text'>

/** What those outside are told of the promotion as it stands; the phases are Flagger's. */
export type PromotionStatus = {
  namespace: string
  service: string
  stable: string
  canary: string
  weight: number
  step: number
  phase: 'Waiting' | 'Progressing' | 'WaitingPromotion' | 'Succeeded' | 'Failed'
  intervalMs: number
}
