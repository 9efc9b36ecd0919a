// Ends the pause that the user approves (`engine.resume`), once the evidence suffices too.
import type { ActiveState } from '../canary/state/types.ts'
import { isConflict } from '../cluster/api-error.ts'
import type { FollowContext } from './context.ts'
import type { Live } from './engine.ts'
import { doubtOf } from './judge.ts'
import { isServing, type RolloutProgress } from './progress.ts'

/** @returns whether it has ended the pause. Without evidence it does so only if the user accepts that, and after the deadline. */
export async function endPause(
  { cluster, engine, plan, deps, resumeAt }: FollowContext,
  live: Live,
  progress: RolloutProgress,
  state: ActiveState,
  heldSince = Infinity,
): Promise<boolean> {
  const { phase, where, weight } = progress
  if (phase !== 'approval' || where !== resumeAt || !engine.resume) return false
  const doubt = isServing(progress) ? doubtOf(plan, state) : undefined
  const isAccepted = plan.onInconclusive === 'promote' && !doubt?.leansAgainst
  const isLate = deps.clock.now() - heldSince >= plan.progressDeadline
  if (doubt && !(isAccepted && isLate)) return false
  deps.note(`ends the pause at weight ${weight} (${where}), as \`engine.resume\` says`)
  await engine.resume(cluster, live).catch((error: unknown) => {
    if (!isConflict(error)) throw error
    deps.note('the pause was ended, or the rollout changed, at the same time')
  })
  return true
}
