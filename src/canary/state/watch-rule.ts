// The rule that watches a step until its time is over and all evidence is there.
import type { CanaryConfig } from '../../config/schema.ts'
import type { CheckResult } from '../analysis/check-results.ts'
import { describeCheck, describeMissing } from '../analysis/check-sentences.ts'
import { shownCount } from '../analysis/request-counts.ts'
import { advance, endInconclusive, isWithoutRequests } from './advance.ts'
import type { Finding } from './finding.ts'
import { describeUnserved } from './outage-rules.ts'
import { findVerdict, isPassed, stay, type RuleInput } from './rule.ts'
import { isShareLagging } from './share-rules.ts'
import { describeStage, msToWatch, stagesOf } from './stages.ts'
import { currentStep, endCurrentStep, watchedBefore } from './steps.ts'
import type { Next, WatchingState, WatchingStep } from './types.ts'
import { findColdCanary } from './warm-up.ts'

export function watchStep(state: WatchingState, input: RuleInput): Next {
  const { plan, results, now } = input
  const step = currentStep(state.steps)
  // No stage belongs to the weight at which the promotion started, and a canary may return to that to be compared.
  const { forMs } = stagesOf(plan)[state.stagesStarted - 1] ?? { forMs: plan.interval }
  const watchedMs = now - step.watched.since
  const leftMs = msToWatch(plan, state, state.stagesStarted, forMs)
  const isOver = watchedMs + countedShift(plan, step, leftMs) + plan.pollInterval / 2 >= leftMs
  const isEarly = plan.advance === 'early' && watchedMs >= plan.minInterval && results.every(isPassed)
  if (!isOver && !isEarly) return stay(state)
  const doubt = findDoubt(state, input)
  if (doubt === undefined) return advance(plan, endCurrentStep(state, 'passed', now), now)
  if (watchedMs < leftMs + plan.progressDeadline) return stay(state)
  const reason = `${describeStage(step)}, watched for ${Math.round((watchedBefore(state).ms + watchedMs) / 1000)} s, ${doubt()}`
  return endInconclusive(plan, state, reason, now)
}

/**
 * The part of the shift that counts as watched, in milliseconds: the requests of a usual shift, which takes two polls,
 * are evidence already. At most a quarter of the step, so that a short one is watched, too.
 */
function countedShift({ pollInterval }: CanaryConfig, { shiftedAt, watched }: WatchingStep, forMs: number): number {
  return Math.min(watched.since - shiftedAt, 2 * pollInterval, forMs / 4)
}

/** Why the step does not pass although no check failed, in words when they are needed. */
function findDoubt(state: WatchingState, { plan, results, observation }: RuleInput): (() => string) | undefined {
  const { canary, watched } = currentStep(state.steps)
  const { minRequests } = plan.checks
  const served = watchedBefore(state).canary + canary.requests
  if (served < minRequests)
    return () =>
      `the canary served ${shownCount(served)} requests, ` +
      `fewer than the ${minRequests} that a step needs (\`checks.minRequests\`)`
  if (state.unservedSince !== undefined) return () => describeUnserved(state)
  const describe = (result: CheckResult) => describeCheck(plan, state.checks, result)
  const shared = findVerdict(results, 'shared')
  if (shared) return () => `the limit was missed, but stable is no better (${describe(shared)})`
  const suspect = findVerdict(results, 'suspect')
  if (suspect) return () => `the evidence leans against the canary without deciding (${describe(suspect)})`
  const hasPassed = (finding: Finding | undefined) => finding?.state === 'pass' && finding.at >= watched.since
  const missing = checksThatAnswer(plan).find((name) => !hasPassed(state.findings[name]))
  if (missing !== undefined)
    return () => `${missing} did not pass (${state.findings[missing]?.text ?? 'no answer yet'})`
  if (isShareLagging(watched)) return () => "the canary's share of the requests does not follow the weight yet"
  if (observation.canaryDown) return () => 'no ready pod of the canary is behind the Service'
  const needsProof = needsCertificate(plan, state)
  const isLast = state.stagesStarted === stagesOf(plan).length
  const cold = isLast || needsProof ? findColdCanary(plan, state) : undefined
  if (cold !== undefined) return () => cold
  const uncertified = needsProof && results.find((result) => !isPassed(result))
  return uncertified ? () => describeMissing(plan, state, uncertified) : undefined
}

/**
 * The last stage starts only once every check has passed, and weight 100 ends only so. Requests that match `ab` are
 * chosen, and pass nothing (checks.ts): where they came alone, the last stage starts without.
 */
function needsCertificate(plan: CanaryConfig, state: WatchingState): boolean {
  if (isWithoutRequests(plan, state)) return false
  const { stagesStarted, steps, weight } = state
  const left = stagesOf(plan).length - stagesStarted
  const isLast = left === 0 && weight === 100
  return isLast || (left === 1 && steps.some(({ kind }) => kind !== 'ab'))
}

/** The names of the queries, commands and webhooks that have to pass in every step. */
export function checksThatAnswer({ checks: { queries, commands }, webhooks }: CanaryConfig): string[] {
  return [
    ...Object.keys(queries),
    ...Object.keys(commands),
    ...Object.entries(webhooks).flatMap(([name, { type }]) => (type === 'rollout' ? [name] : [])),
  ]
}
