// What an engine says about a rollout, in the same words for every engine.

/**
 * `waiting`: the engine has not begun with what it is to roll out, or nothing is under way. `moving`: it moves the traffic, or
 * waits for a time. `approval`: it waits for somebody. `stopped`: somebody has paused it, or the engine found no verdict.
 * `stuck`: it makes no progress, and returns nothing; it may go on later, and a new image may replace it.
 * `promoting`: it gives the promoted version to stable, and cannot be aborted any more. `failed`: it has returned, or returns,
 * the traffic to stable.
 */
export type Phase = 'waiting' | 'moving' | 'approval' | 'stopped' | 'stuck' | 'promoting' | 'promoted' | 'failed'

export type RolloutProgress = {
  phase: Phase
  /** Identifies the pod template that the engine rolls out, or has rolled out last. */
  revision: string
  /** Of the canary, in per cent. */
  weight: number
  /** It waits for approval before it begins, so the revision is still the one before. */
  isBefore?: true
  /** The requests that the canary gets are chosen by a match, not by the weight. */
  isChosen?: true
  /** At weight 0, the canary gets copies of so many per cent of the requests. */
  copies?: number
  /** Where it is, for the log, such as `step 2 of 6`. */
  where: string
  /** The engine's own reason for being there; empty if it gives none. */
  reason: string
}

/** True while a later run would find something to follow. */
export function isUnderWay({ phase, isBefore }: RolloutProgress): boolean {
  if (isBefore) return false
  return isHalted(phase) || phase === 'moving' || phase === 'promoting'
}

/** It does not go on by itself, or nobody knows when. */
export function isHalted(phase: Phase): boolean {
  return phase === 'approval' || phase === 'stopped' || phase === 'stuck'
}

/** The canary gets requests of users, or copies of them. */
export function isServing({ weight, isChosen, copies = 0 }: RolloutProgress): boolean {
  return weight > 0 || isChosen === true || copies > 0
}
