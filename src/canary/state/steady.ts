// Decides when a long step may be sampled less often: the sample is clean, complete, and the evidence against the canary is
// low. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import type { CheckResult } from '../analysis/check-results.ts'
import { currentStep } from './steps.ts'
import type { Observation, State } from './types.ts'

/** Most faults show in the first minutes of a step, and shorter steps gain little. */
const settledMs = 5 * 60_000
/** A sudden failure is seen in the next sample, so it is found within seconds. */
const longestPollMs = 5_000
/** E against the canary, which is 1 without any evidence and falls with good samples. */
const steadyEvidenceLimit = 2

/** How long after the last sample the next one may be taken, in milliseconds. */
export function steadyPollInterval({ pollInterval }: Pick<CanaryConfig, 'pollInterval'>): number {
  return Math.max(pollInterval, Math.min(5 * pollInterval, longestPollMs))
}

/** `results`: what the checks say with this sample. `now`: milliseconds since the epoch. */
export function isSteady(
  plan: CanaryConfig,
  state: State,
  results: CheckResult[],
  observation: Observation,
  now: number,
): boolean {
  if (state.phase !== 'watching') return false
  const isSettled = now - currentStep(state.steps).watched.since >= settledMs
  const against = results.reduce((sum, { failEvidence }) => sum + failEvidence, 0)
  return isSettled && against < steadyEvidenceLimit && isSampleClean(plan, state, observation)
}

/** This sample has everything, the callers too, and nothing of it is bad. */
function isSampleClean({ checks }: CanaryConfig, state: State, observation: Observation): boolean {
  const { canary, users, unserved, findings, complete, ready, callersSilent } = observation
  const isSeen = complete && ready && users.requests > 0 && !callersSilent
  const hasNoFault = !observation.unguarded && !observation.drift && !observation.canaryDown && !observation.stableDown
  const failures = canary.failures + canary.abandoned
  return (
    isSeen &&
    hasNoFault &&
    !('unservedSince' in state) &&
    (unserved?.violations ?? 0) === 0 &&
    failures <= (1 - checks.successRate) * canary.requests &&
    findings.every((finding) => finding.state !== 'fail')
  )
}
