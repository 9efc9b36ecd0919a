// What somebody outside answered about the canary: a query, a command, a webhook. `at`: milliseconds since the epoch.
export type Finding = { name: string; state: 'pass' | 'fail' | 'undecided'; text: string; at: number }
export type Answer = Pick<Finding, 'state' | 'text'>

/** Hooks that have a say in what happens next; several of one kind speak as one. */
export type Gate = 'confirm-rollout' | 'pre-rollout' | 'confirm-promotion' | 'rollback'

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
