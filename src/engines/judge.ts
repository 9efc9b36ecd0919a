// Judges the canary of an engine with the evidence of this program. The state is that of a promotion, but its steps follow what
// the engine does. Pure.
import type { CheckResult } from '../canary/analysis/check-results.ts'
import { closeComparison } from '../canary/analysis/checks.ts'
import { describeCheck, describeMissing } from '../canary/analysis/check-sentences.ts'
import { addObservation } from '../canary/state/count-sample.ts'
import { findFailure } from '../canary/state/failure-rules.ts'
import { explainChecks } from '../canary/state/machine.ts'
import { describeUnserved } from '../canary/state/outage-rules.ts'
import { isPassed } from '../canary/state/rule.ts'
import { shareOfCallersWithoutSidecar } from '../canary/state/share-rules.ts'
import { stagesReached } from '../canary/state/stages.ts'
import { checksThatAnswer } from '../canary/state/watch-rule.ts'
import { currentStep, endCurrentStep, progressOf, startStep, startWatching } from '../canary/state/steps.ts'
import type { ActiveState, Observation, StepOutcome } from '../canary/state/types.ts'
import type { CanaryConfig } from '../config/schema.ts'
import { percent } from '../statistics/percent.ts'
import type { RolloutProgress } from './progress.ts'

/** `condemned`: why the canary failed, in words. */
export type Judgement = { state: ActiveState; results: CheckResult[]; condemned?: string }

/** Counts one sample, at the weight that the engine has set. `now`: milliseconds since the epoch. */
export function judge(
  plan: CanaryConfig,
  before: ActiveState,
  progress: RolloutProgress,
  observation: Observation,
  now: number,
): Judgement {
  const state = addObservation(plan, atWeight(plan, before, progress, now), observation, now)
  const results = explainChecks(plan, state)
  const condemned = findFailure({ plan, state, results, observation, now })
  return { state, results, ...(condemned === undefined ? {} : { condemned }) }
}

/** The state in the step of this weight: the same one, or a new one if the engine has moved on. */
function atWeight(
  plan: CanaryConfig,
  state: ActiveState,
  { weight, isChosen, copies }: Pick<RolloutProgress, 'weight' | 'isChosen' | 'copies'>,
  now: number,
  outcome: StepOutcome = 'passed',
): ActiveState {
  const kind = isChosen ? 'ab' : copies === undefined ? 'weight' : 'mirror'
  const share = isChosen ? 100 : (copies ?? weight)
  const current = state.phase === 'watching' ? currentStep(state.steps) : undefined
  if (share === (current?.weight ?? 0) && (share === 0 || current?.kind === kind)) return state
  const stopped = endCurrentStep(state, outcome, now)
  const checks = state.steps.length === 0 ? state.checks : closeComparison(state.checks)
  if (share === 0)
    return { ...progressOf(stopped), phase: 'waiting', waitingSince: now, weight, checks, steps: stopped.steps }
  const step = startWatching(startStep(kind, share, state.weight, now), now)
  return {
    ...progressOf(stopped),
    phase: 'watching',
    weight: kind === 'weight' ? weight : 0,
    stagesStarted: stagesReached(plan, weight),
    checks,
    steps: [...stopped.steps, step],
  }
}

/** What the evidence does not show, in words. `leansAgainst`: it speaks against the canary without deciding. */
export type Doubt = { text: string; leansAgainst: boolean }

/** About a canary that nothing condemns; undefined if every check has passed, as a promotion of this program would ask. */
export function doubtOf(plan: CanaryConfig, state: ActiveState): Doubt | undefined {
  const open = (text: string) => ({ text, leansAgainst: false })
  const failed = Object.values(state.findings).find((finding) => finding.state === 'fail')
  if (failed) return { text: `${failed.name} failed (${failed.text})`, leansAgainst: true }
  const beside = shareOfCallersWithoutSidecar(state)
  if (beside !== undefined)
    return open(`${percent(beside, 1)} of the requests came from callers without a sidecar, which no weight reaches`)
  if (state.countersMissingSince !== undefined) return open('some counters of the sidecars could not be read')
  if (state.unservedSince !== undefined) return { text: describeUnserved(state), leansAgainst: true }
  if (state.canary.requests === 0) return open('this run saw no request of the canary')
  if (state.phase === 'waiting' && state.steps.length > 0)
    return open('the traffic left the canary, and this run saw no request of it since')
  const results = explainChecks(plan, state)
  const against = results.find(({ verdict }) => verdict === 'shared' || verdict === 'suspect')
  if (against)
    return {
      text: `it leans against the canary without deciding (${describeCheck(plan, state.checks, against)})`,
      leansAgainst: true,
    }
  const missing = results.find((result) => !isPassed(result))
  if (missing) return open(describeMissing(plan, state, missing))
  return unansweredOf(plan, state)
}

/** A query or a command has to pass while the canary has traffic. */
function unansweredOf(plan: CanaryConfig, { findings, steps }: ActiveState): Doubt | undefined {
  const since = steps[0]?.shiftedAt ?? Infinity
  const name = checksThatAnswer(plan).find((each) => findings[each]?.state !== 'pass' || findings[each].at < since)
  if (name === undefined) return undefined
  return { text: `${name} did not pass (${findings[name]?.text ?? 'no answer yet'})`, leansAgainst: false }
}
