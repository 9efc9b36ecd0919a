// Adds a sample to the sums, the last step and the checks. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import { addSample } from '../analysis/checks.ts'
import { addRequests } from '../analysis/request-counts.ts'
import { addShare, noShare } from '../analysis/share.ts'
import { addUnserved, isUnservedTooOften, type Served } from '../analysis/unserved.ts'
import { isAlone } from './alone.ts'
import type { Gate } from './finding.ts'
import { countInLastStep, currentStep, replaceCurrent } from './steps.ts'
import type { ActiveState, Observation } from './types.ts'
import { judgedPart, warmUpWith } from './warm-up.ts'

/** Adds a sample to the sums, the last step and the checks. What came before the first stage is not evidence. */
export function addObservation(
  plan: CanaryConfig,
  before: ActiveState,
  observation: Observation,
  now: number,
): ActiveState {
  const { countersMissingSince, unguardedSince, unservedSince, ...rest } = before
  const { users, complete, unreadable, unguarded, findings, gates } = observation
  const passed = Object.entries(gates).flatMap(([gate, { state }]) => (state === 'pass' ? [gate as Gate] : []))
  const state: ActiveState = {
    ...rest,
    ...(complete && unreadable === undefined ? {} : { countersMissingSince: countersMissingSince ?? now }),
    ...(unguarded ? { unguardedSince: unguardedSince ?? now } : {}),
    stableTotal: addRequests(before.stableTotal, observation.stable),
    findings: { ...before.findings, ...Object.fromEntries(findings.map((finding) => [finding.name, finding])) },
    passedGates: [...new Set([...before.passedGates, ...passed])],
  }
  if (state.phase === 'waiting') return state
  const firstTrafficAt = state.firstTrafficAt ?? (observation.canary.requests > 0 ? now : undefined)
  const warmUp = warmUpWith(plan, state, observation.canary, now)
  const [canary, stable] = [judgedPart(warmUp, observation.canary), judgedPart(warmUp, observation.stable)]
  const counted = {
    ...state,
    ...(firstTrafficAt === undefined ? {} : { firstTrafficAt }),
    checks: addSample(plan, state.checks, {
      canary,
      stable,
      alone: isAlone(state),
      isChosen: state.steps.at(-1)?.kind === 'ab',
      stableTimes: before.stableTotal.times,
    }),
    canary: addRequests(state.canary, canary),
    stable: addRequests(state.stable, stable),
    users: addRequests(state.users, users),
    warmUp,
    ...countUnserved(plan, { ...state, ...(unservedSince === undefined ? {} : { unservedSince }) }, observation, now),
  }
  return countShare(plan, countInLastStep(counted, observation.canary, observation.stable), observation, now)
}

/** Users' requests that failed before any version saw them; and since when there have been too many. */
function countUnserved(
  plan: CanaryConfig,
  state: ActiveState,
  observation: Observation,
  now: number,
): Pick<ActiveState, 'unserved' | 'unservedSince'> {
  if (!observation.unserved) return { unserved: state.unserved }
  const unserved = addUnserved(state.unserved, observation.unserved, servedByWeight(state, observation))
  return isUnservedTooOften(plan, unserved) ? { unserved, unservedSince: state.unservedSince ?? now } : { unserved }
}

/** What both served, where the weight alone decides which of them gets a request. */
function servedByWeight(state: ActiveState, { canary, stable, share }: Observation): Served | undefined {
  const { weight } = state
  const isSplit = state.phase === 'watching' && currentStep(state.steps).kind === 'weight' && weight > 0 && weight < 100
  const isPinned = share === undefined || share.stable
  return isSplit && !isPinned ? { weight, canary: canary.requests, stable: stable.requests } : undefined
}

/**
 * istiod collects changes for up to 10 s before it sends them, so until then some callers may follow the old weight.
 * Short steps wait for a shorter time, which an istiod without much to do keeps.
 */
export const settleMs = { shortest: 5_000, longest: 10_000 }

/** Adds a sample to the share of a step whose weight all callers have had time to receive. */
function countShare(plan: CanaryConfig, state: ActiveState, observation: Observation, now: number): ActiveState {
  if (state.phase !== 'watching' || !observation.share) return state
  const step = currentStep(state.steps)
  const shortestMs = plan.advance === 'early' ? plan.minInterval : plan.interval
  if (step.kind !== 'weight' || now - step.shiftedAt < settlesAfter(shortestMs)) return state
  const share = addShare(step.watched.share ?? noShare, observation.canary, observation.stable)
  return { ...state, steps: replaceCurrent(state.steps, { ...step, watched: { ...step.watched, share } }) }
}

function settlesAfter(stepMs: number): number {
  return Math.min(settleMs.longest, Math.max(settleMs.shortest, stepMs / 2))
}
