// Tells when a long step needs no look every second: nothing leans against the canary, and callers are watched. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import type { CheckResult } from '../analysis/check-results.ts'
import { currentStep } from './steps.ts'
import type { Observation, State } from './types.ts'

/** Most faults show in the first minutes of a step, and shorter steps gain little. */
const settledMs = 5 * 60_000
/** A sudden failure is seen in the next sample, so it is found within seconds. */
const longestPollMs = 5_000
/** E against the canary, which is 1 without any evidence and falls with good samples. */
const leaning = 2

/** How long after the last sample the next one may be taken, in milliseconds. */
export function calmInterval({ pollInterval }: Pick<CanaryConfig, 'pollInterval'>): number {
  return Math.max(pollInterval, Math.min(5 * pollInterval, longestPollMs))
}

/** `results`: what the checks say with this sample. `now`: milliseconds since the epoch. */
export function isCalm(
  plan: CanaryConfig,
  state: State,
  results: CheckResult[],
  observation: Observation,
  now: number,
): boolean {
  if (state.phase !== 'watching') return false
  const isSettled = now - currentStep(state.steps).watched.since >= settledMs
  const against = results.reduce((sum, { failEvidence }) => sum + failEvidence, 0)
  return isSettled && against < leaning && isQuiet(plan, state, observation)
}

/** This sample has everything, the callers too, and nothing of it is bad. */
function isQuiet({ checks }: CanaryConfig, state: State, observation: Observation): boolean {
  const { canary, users, unserved, findings, complete, ready } = observation
  const isSeen = complete && ready && users.requests > 0
  const isStraight = !observation.unguarded && !observation.drift && !observation.canaryDown && !observation.stableDown
  const failures = canary.failures + canary.abandoned
  return (
    isSeen &&
    isStraight &&
    !('unservedSince' in state) &&
    (unserved?.violations ?? 0) === 0 &&
    failures <= (1 - checks.successRate) * canary.requests &&
    findings.every((finding) => finding.state !== 'fail')
  )
}
