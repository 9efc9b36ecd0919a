// The state machine of an experiment: waiting → steady → injecting → observing → recovering → ended. Pure: it knows no
// clock and no cluster. Whatever happens, a fault that may be written is removed before the experiment ends.
import { addRequests, noRequests, type RequestCounts } from '../../canary/analysis/request-counts.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { addEvidence, brokenLimits, createEvidence, mustStop } from './evidence.ts'
import { judge } from './judge.ts'
import { addMeshCounts, noMeshCounts } from './mesh-counts.ts'
import { recover } from './recovering.ts'
import type { Action, EndedState, Observation, Outcome, Phase, State, Step } from './types.ts'

export function start(experiment: ExperimentConfig, now: number): State {
  return {
    phase: 'waiting',
    since: now,
    timeline: [{ phase: 'waiting', at: now }],
    steady: noRequests,
    acting: noRequests,
    evidence: createEvidence(experiment),
    mesh: noMeshCounts,
    signs: { calls: 0, faulted: 0 },
  }
}

/** `now`: milliseconds, by the same clock each time. */
export function next(experiment: ExperimentConfig, state: State, seen: Observation, now: number): Step {
  switch (state.phase) {
    case 'waiting':
      return wait(experiment, state, seen, now)
    case 'steady':
      return watchSteadyState(experiment, state, seen, now)
    case 'injecting':
    case 'observing':
      return act(experiment, state, seen, now)
    case 'recovering':
      return recover(experiment, state, seen, now)
    case 'ended':
      return stay(state)
  }
}

/** Ends the experiment from outside, as when the run is cancelled. */
export function abort(state: State, reason: string, now: number): Step {
  if (state.phase === 'ended' || state.phase === 'recovering') return stay(state)
  const outcome: Outcome = { verdict: 'inconclusive', reason }
  return isInjected(state) ? startRecovery(state, outcome, now) : stay(endUntouched(state, outcome, now))
}

/** Whether something of the fault may be in the cluster. */
export function isInjected({ phase }: State): boolean {
  return phase === 'injecting' || phase === 'observing' || phase === 'recovering'
}

function wait({ confirmTimeout }: ExperimentConfig, state: State, { isGuarded }: Observation, now: number): Step {
  if (isGuarded) return stay(enter(state, 'steady', now))
  if (now - state.since < confirmTimeout) return stay(state)
  const reason = `the guard Job did not start within ${seconds(confirmTimeout)}; nothing was injected`
  return stay(endUntouched(state, { verdict: 'inconclusive', reason }, now))
}

function watchSteadyState(experiment: ExperimentConfig, before: State, seen: Observation, now: number): Step {
  const { users, isGuarded } = seen
  const { steadyState, minRequests, service, confirmTimeout } = experiment
  const state: State = { ...before, steady: addRequests(before.steady, users) }
  if (now - state.since < steadyState) return stay(state)
  if (!isGuarded && now - state.since < steadyState + confirmTimeout) return stay(state)
  const { requests } = state.steady
  const broken = brokenLimits(experiment, state.steady)
  const reason =
    requests < minRequests
      ? `${requests} requests of users of ${service} in ${seconds(steadyState)}, fewer than \`minRequests\` (${minRequests})`
      : broken.length > 0
        ? `not steady before the fault: ${broken.join(', and ')}`
        : isGuarded
          ? undefined
          : `the guard stopped watching, and did not come back within ${seconds(confirmTimeout)}`
  if (reason === undefined) return { state: enter(state, 'injecting', now), actions: ['inject'] }
  return stay(endUntouched(state, { verdict: 'inconclusive', reason: `${reason}; nothing was injected` }, now))
}

function act(experiment: ExperimentConfig, before: State, seen: Observation, now: number): Step {
  const state = addSample(experiment, before, seen)
  const early = earlyOutcome(experiment, state, seen)
  if (early) return startRecovery(state, early, now)
  if (state.phase === 'observing')
    return now - state.since < experiment.duration ? stay(state) : startRecovery(state, judge(experiment, state), now)
  if (seen.isWritten && state.signs.faulted > 0) return stay(enter(state, 'observing', now))
  const { confirmTimeout } = experiment
  if (now - (state as { since: number }).since < confirmTimeout)
    return { state, actions: seen.isWritten || !seen.isGuarded ? [] : ['inject'] }
  return startRecovery(state, { verdict: 'inconclusive', reason: withoutEffect(experiment, seen) }, now)
}

function addSample(experiment: ExperimentConfig, state: State, { users, mesh, signs }: Observation): State {
  return {
    ...state,
    acting: addRequests(state.acting, users),
    evidence: addEvidence(experiment, state.evidence, users),
    mesh: addMeshCounts(state.mesh, mesh),
    signs: { calls: state.signs.calls + signs.calls, faulted: state.signs.faulted + signs.faulted },
  }
}

function earlyOutcome(experiment: ExperimentConfig, state: State, { touched }: Observation): Outcome | undefined {
  if (mustStop(experiment, state.evidence, state.acting))
    return { verdict: 'fragile', reason: `${failed(state.acting)}: fewer succeeded than \`stopBelow\` allows` }
  if (touched.length === 0) return undefined
  const reason = `somebody else changed what the fault had written (${touched.join(', ')})`
  return { verdict: 'inconclusive', reason }
}

function withoutEffect({ inject, confirmTimeout }: ExperimentConfig, { isWritten }: Observation): string {
  const within = `within ${seconds(confirmTimeout)}`
  if (inject.podKill) return `no pod was evicted ${within}`
  if (inject.chaosMesh && isWritten)
    return `Chaos Mesh did not report the fault as injected ${within}; look at its controller and its daemon`
  if (!isWritten) return `the fault could not be written ${within}`
  if (inject.overload)
    return `the limit was never reached: no request was refused for it ${within}; lower it, or send more requests`
  return `the fault was written, and no sidecar counted a request that it concerned ${within}`
}

function failed({ failures, requests }: RequestCounts): string {
  return `${failures} of ${requests} requests of users failed`
}

const seconds = (ms: number) => `${ms / 1000} s`

function stay(state: State): Step {
  return { state, actions: [] }
}

function enter(state: State, phase: Exclude<Phase, 'recovering' | 'ended'>, now: number): State {
  return { ...recordOf(state), phase, since: now, timeline: [...state.timeline, { phase, at: now }] }
}

function startRecovery(state: State, outcome: Outcome, now: number): Step {
  const timeline = [...state.timeline, { phase: 'recovering' as const, at: now }]
  const actions: Action[] = ['recover']
  return { state: { ...recordOf(state), phase: 'recovering', since: now, outcome, after: [], timeline }, actions }
}

function endUntouched(state: State, outcome: Outcome, now: number): EndedState {
  const timeline = [...state.timeline, { phase: 'ended' as const, at: now }]
  return { ...recordOf(state), phase: 'ended', since: now, outcome, recovery: { kind: 'unneeded' }, timeline }
}

function recordOf({ timeline, steady, acting, evidence, mesh, signs }: State) {
  return { timeline, steady, acting, evidence, mesh, signs }
}
