// The state machine of an experiment: waiting → steady → injecting → observing → recovering → ended. Pure: it knows no
// clock and no cluster. Whatever happens, a fault that may be written is removed before the experiment ends.
import { addRequests, type LimitCounts } from '../../canary/analysis/request-counts.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { addSigns, noSigns } from './coverage.ts'
import { brokenLimits, usersNotCounted } from './evidence.ts'
import { judge } from './judge.ts'
import { addActing, isComplete, newRecord, recordOf } from './record.ts'
import { recover } from './recovering.ts'
import { mustStop, watchUsers } from './stop.ts'
import type { Action, EndedState, Observation, Outcome, Phase, State, Step } from './types.ts'

export function start(experiment: ExperimentConfig, now: number): State {
  return { phase: 'waiting', since: now, ...newRecord(experiment, now) }
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

/** Whether the next sample may be the last one of the time in which the fault acts, or comes after it. */
export function isAboutToEnd(
  { duration, pollInterval }: ExperimentConfig,
  { phase, since }: State,
  now: number,
): boolean {
  return phase === 'recovering' || (phase === 'observing' && now - since + pollInterval >= duration)
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
  const signs = addSigns(before.signs, seen.signs)
  const state: State = { ...before, steady: addRequests(before.steady, users), signs }
  if (now - state.since < steadyState) return stay(state)
  if (!isGuarded && now - state.since < steadyState + confirmTimeout) return stay(state)
  const { requests } = state.steady
  const notReady = seen.podsNotReady ?? 0
  const notCounted = usersNotCounted(state.steady)
  const broken = [
    ...(notCounted === undefined ? [] : [notCounted]),
    ...brokenLimits(experiment, state.steady),
    ...(notReady > 0 ? [`${notReady} of the pods are not ready`] : []),
    ...(signs.faulted > 0 ? [`${signs.faulted} calls already look as if the fault concerned them`] : []),
  ]
  const reason =
    requests < minRequests
      ? `${requests} requests of users of ${service} in ${seconds(steadyState)}, fewer than \`minRequests\` (${minRequests})`
      : broken.length > 0
        ? `not steady before the fault: ${broken.join(', and ')}`
        : isGuarded
          ? undefined
          : `the guard stopped watching, and did not come back within ${seconds(confirmTimeout)}`
  if (reason === undefined) return { state: enter({ ...state, signs: noSigns }, 'injecting', now), actions: ['inject'] }
  return stay(endUntouched(state, { verdict: 'inconclusive', reason: `${reason}; nothing was injected` }, now))
}

type Acting = Extract<State, { phase: 'waiting' | 'steady' | 'injecting' | 'observing' }>

function act(experiment: ExperimentConfig, before: Acting, seen: Observation, now: number): Step {
  const state = addSample(experiment, before, seen, now)
  const early = earlyOutcome(experiment, state, seen, now)
  if (early) return startRecovery(state, early, now)
  if (state.phase === 'observing') {
    if (now - state.since < experiment.duration) return stay(state)
    return isComplete(seen)
      ? startRecovery(state, judge(experiment, state, now), now)
      : startRecovery(state, { verdict: 'inconclusive', reason: callersNotRead }, now, true)
  }
  if (isShown(seen)) return stay(enter(state, 'observing', now))
  const { confirmTimeout } = experiment
  if (now - state.since < confirmTimeout) return { state, actions: seen.isWritten || !seen.isGuarded ? [] : ['inject'] }
  return startRecovery(state, { verdict: 'inconclusive', reason: withoutEffect(experiment, seen) }, now)
}

const callersNotRead = 'the counters of some callers could not be read when the fault had acted'

function isShown({ isWritten, signs }: Observation): boolean {
  return isWritten && signs.faulted > 0
}

/**
 * What users get before the fault acts says nothing of it. Only the last samples before count, once the fault shows
 * itself: a sidecar publishes its counters a moment later, and Chaos Mesh kills a pod seconds before it says so.
 */
function addSample(experiment: ExperimentConfig, before: Acting, seen: Observation, now: number): Acting {
  const { beforeFirstSign = [], blindSince = now, ...rest } = before
  const state: Acting = {
    ...rest,
    stop: watchUsers(before.stop, seen.users, now),
    ...(seen.isBlind ? { blindSince } : {}),
  }
  if (state.phase === 'observing') return addActing(experiment, state, seen, now)
  const samples = [...beforeFirstSign.slice(experiment.inject.chaosMesh ? -chaosMeshDelay : -1), { seen, at: now }]
  if (isShown(seen)) return samples.reduce((sum, each) => addActing(experiment, sum, each.seen, each.at), state)
  return seen.isWritten ? { ...state, beforeFirstSign: samples } : state
}

/** So many samples, a second each unless `pollInterval` says otherwise, may pass until Chaos Mesh says what it has done. */
const chaosMeshDelay = 5

function earlyOutcome(
  experiment: ExperimentConfig,
  state: Acting,
  { disturbed }: Observation,
  now: number,
): Outcome | undefined {
  const tooMany = mustStop(experiment, state.stop)
  if (tooMany) {
    const reason = `${failed(tooMany)}: fewer succeeded than \`stopBelow\` allows`
    return state.acting.requests > 0
      ? { verdict: 'fragile', reason }
      : { verdict: 'inconclusive', reason: `${reason}, before the fault showed itself` }
  }
  if (disturbed.length > 0) return { verdict: 'inconclusive', reason: disturbed.join('; ') }
  const blindMs = now - (state.blindSince ?? now)
  if (blindMs < Math.max(longestBlindMs, blindPolls * experiment.pollInterval)) return undefined
  return { verdict: 'inconclusive', reason: `no counter of any sidecar could be read for ${seconds(blindMs)}` }
}

/** Nobody would notice what the fault does to users. */
const longestBlindMs = 10_000
const blindPolls = 3

function withoutEffect({ inject, confirmTimeout }: ExperimentConfig, { isWritten }: Observation): string {
  const within = `within ${seconds(confirmTimeout)}`
  if (inject.podKill)
    return isWritten ? `not all pods to evict could be evicted ${within}` : `no pod was evicted ${within}`
  if (inject.chaosMesh && isWritten)
    return `Chaos Mesh did not report the fault as injected ${within}; look at its controller and its daemon`
  if (!isWritten) return `the fault could not be written ${within}`
  if (inject.overload)
    return `the limit was never reached: no request was refused for it ${within}; lower it, or send more requests`
  return `the fault was written, and no sidecar counted a request that it concerned ${within}`
}

function failed({ violations, requests }: LimitCounts): string {
  return `${violations} of ${requests} requests of users failed`
}

const seconds = (ms: number) => `${ms / 1000} s`

function stay(state: State): Step {
  return { state, actions: [] }
}

function enter(state: State, phase: Exclude<Phase, 'recovering' | 'ended'>, now: number): State {
  return { ...recordOf(state), phase, since: now, timeline: [...state.timeline, { phase, at: now }] }
}

function startRecovery(state: State, outcome: Outcome, now: number, waitsForCallers = false): Step {
  const timeline = [...state.timeline, { phase: 'recovering' as const, at: now }]
  const actions: Action[] = ['recover']
  const recovering = { phase: 'recovering', since: now, seenAt: now, outcome, waitsForCallers } as const
  return { state: { ...recordOf(state), ...recovering, after: [], callsAfter: 0, timeline }, actions }
}

function endUntouched(state: State, outcome: Outcome, now: number): EndedState {
  const timeline = [...state.timeline, { phase: 'ended' as const, at: now }]
  return { ...recordOf(state), phase: 'ended', since: now, outcome, recovery: { kind: 'unneeded' }, timeline }
}
