// The end of an experiment: the fault is removed, and then the counters have to show that it and its effects are gone. Pure.
import { addRequests, noRequests } from '../../canary/analysis/request-counts.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { callsToShowGone, expectedAtEnd, isShownGone } from './coverage.ts'
import { brokenLimits } from './evidence.ts'
import { judge } from './judge.ts'
import { shareOfSteadyRate } from './rate.ts'
import { addCounts, isComplete, recordOf } from './record.ts'
import type { AfterSample, EndedState, Observation, Outcome, Recovery, State, Step } from './types.ts'

type Recovering = Extract<State, { phase: 'recovering' }>

/** So many samples in a row, with so many requests, show that the users are back. */
const shownBy = { samples: 3, requests: 10 }
const longestWindow = 10

export function recover(experiment: ExperimentConfig, before: Recovering, seen: Observation, now: number): Step {
  const { removedAt, ...rest } = judgeWithLateReadings(experiment, before, seen)
  if (!seen.isRemoved) {
    const state: Recovering = { ...rest, seenAt: now }
    if (now - before.since < experiment.recoverWithin + experiment.confirmTimeout)
      return { state, actions: ['recover'] }
    const recovery = { kind: 'unconfirmed', problem: cannotRemove, isRemoved: false } as const
    return { state: end(state, notRemoved(state.outcome), recovery, now), actions: [] }
  }
  const sampled: Recovering = { ...rest, removedAt: removedAt ?? now, seenAt: now, ...addSample(before, seen, now) }
  const isBack = areUsersBack(experiment, sampled) && seen.podsNotReady === 0
  const state: Recovering = isBack ? { ...sampled, backAt: sampled.backAt ?? now } : sampled
  if (isBack && !state.waitsForCallers && haveCallsShownIt(experiment, state, seen)) {
    const seconds = (state.backAt! - state.removedAt!) / 1000
    return { state: end(state, state.outcome, { kind: 'confirmed', seconds }, now), actions: [] }
  }
  if (now - state.removedAt! < timeToWait(experiment, state)) return { state, actions: [] }
  return { state: endLate(experiment, state, seen, now), actions: [] }
}

/**
 * Users have to be back within `recoverWithin`. Then the run waits for the calls, longer if need be, as long as they should
 * take at the rate at which they met the fault.
 */
function timeToWait({ recoverWithin, duration }: ExperimentConfig, state: Recovering): number {
  const { backAt, waitsForCallers, signs, coverage, since } = state
  if (backAt === undefined || waitsForCallers || signs.faulted === 0) return recoverWithin
  const forCalls = (spare * expectedAtEnd * (since - (coverage.since ?? since))) / signs.faulted
  return Math.max(recoverWithin, Math.min(wholeSeconds(forCalls), recoverWithin + duration))
}

/** Users come and go, so this part of the rate before is enough. */
const leastOfSteadyRate = 0.5

/** Calls come at no steady rate. */
const spare = 1.5
const wholeSeconds = (ms: number) => 1_000 * Math.ceil(ms / 1_000)

/** Callers that were not read when the fault had acted tell of that time with their next reading, and only with that one. */
function judgeWithLateReadings(experiment: ExperimentConfig, state: Recovering, seen: Observation): Recovering {
  if (!state.waitsForCallers) return state
  const added = addCounts(experiment, state, seen.late)
  return isComplete(seen) ? { ...added, waitsForCallers: false, outcome: judge(experiment, added, state.since) } : added
}

const cannotRemove = 'the fault could not be removed; the guard continues to try'

function notRemoved({ reason }: Outcome): Outcome {
  return { verdict: 'inconclusive', reason: `${cannotRemove}; before that: ${reason}` }
}

/** A sample that still shows the fault starts the counts again. */
function addSample(
  { after, callsAfter, removedAt, seenAt }: Recovering,
  { users, signs }: Observation,
  now: number,
): Pick<Recovering, 'after' | 'callsAfter' | 'backAt'> {
  if (removedAt === undefined || signs.faulted > 0) return { after: [], callsAfter: 0, backAt: undefined }
  const all = [...after, { users, ms: now - seenAt }]
  // Where users call seldom, the window has to be longer.
  const last = all.findIndex((_, i) => sum(all.slice(i + 1)).requests < shownBy.requests)
  return {
    after: all.slice(Math.min(Math.max(0, all.length - longestWindow), Math.max(0, last))),
    callsAfter: callsAfter + signs.calls,
  }
}

const sum = (samples: AfterSample[]) => samples.map(({ users }) => users).reduce(addRequests, noRequests)

/** Any window of the latest samples may show it, so that old failures do not count for ever. */
function areUsersBack(experiment: ExperimentConfig, state: Recovering): boolean {
  return state.after.some((_, i) => {
    const window = state.after.slice(i)
    const users = sum(window)
    const isShown = window.length >= shownBy.samples && users.requests >= shownBy.requests
    return isShown && brokenLimits(experiment, users).length === 0 && rateOf(state, window) >= leastOfSteadyRate
  })
}

function rateOf(state: Recovering, window: AfterSample[]): number {
  const ms = window.reduce((total, each) => total + each.ms, 0)
  return shareOfSteadyRate(state, sum(window).requests, ms)
}

function endLate(experiment: ExperimentConfig, state: Recovering, seen: Observation, now: number): EndedState {
  const { outcome, after, coverage } = state
  const { signs, podsNotReady = 0, isWritten } = seen
  const since = isWritten ? 'the fault was removed' : 'the run gave up injecting the fault'
  const within = `within ${timeToWait(experiment, state) / 1000} s after ${since}`
  const users = sum(after)
  const broken = brokenLimits(experiment, users)
  const causes = [
    ...(signs.faulted > 0 ? ['the sidecars still apply it'] : []),
    ...(podsNotReady > 0 ? [`${podsNotReady} of the pods are not ready`] : []),
    ...broken,
  ]
  const isSeen = causes.length > 0
  const what = isSeen ? causes.join(', and ') : tooFew(experiment, state, seen)
  // What users get says nothing of a fault that never showed itself. What they got while it acted stays true.
  const hasActed = coverage.since !== undefined
  const verdict = isSeen && hasActed && signs.faulted === 0 && !state.waitsForCallers ? 'fragile' : 'inconclusive'
  const problem = `no recovery was seen ${within}: ${what}`
  const late: Outcome =
    outcome.verdict === 'fragile'
      ? { verdict: 'fragile', reason: `${outcome.reason}; ${problem}` }
      : { verdict, reason: `${problem}; before that: ${outcome.reason}` }
  return end(state, late, { kind: 'unconfirmed', problem, isRemoved: isSeenGone(experiment, state, seen) }, now)
}

/**
 * Whether the calls since then show that no sidecar applies the fault any more. A restored object does not show it: the
 * control plane may be away.
 */
function isSeenGone(experiment: ExperimentConfig, state: Recovering, seen: Observation): boolean {
  const isOfPods = experiment.inject.podKill ?? experiment.inject.chaosMesh
  if (isOfPods !== undefined || !seen.wasSent) return true
  return state.after.length >= shownBy.samples && haveCallsShownIt(experiment, state, seen)
}

/** What was never sent acts nowhere. */
function haveCallsShownIt(
  experiment: ExperimentConfig,
  { signs, callsAfter }: Recovering,
  { wasSent }: Observation,
): boolean {
  return !wasSent || isShownGone(experiment, signs, callsAfter)
}

function tooFew(experiment: ExperimentConfig, state: Recovering, seen: Observation): string {
  if (state.waitsForCallers) return 'the counters of some callers could not be read'
  const { requests } = sum(state.after)
  if (state.after.length < shownBy.samples) return `too few samples of the sidecars (${state.after.length})`
  if (requests < shownBy.requests) return `too few requests of users (${requests})`
  if (!haveCallsShownIt(experiment, state, seen)) {
    const what = `too few calls to the target of the fault (${state.callsAfter}) to see that no sidecar applies it any more`
    return `${what}; ${remedyForCalls(experiment, state)}`
  }
  return `users call at ${Math.round(100 * rateOf(state, state.after))}% of their rate before the fault`
}

function remedyForCalls(experiment: ExperimentConfig, { signs, callsAfter, removedAt, seenAt }: Recovering): string {
  if (callsAfter === 0) return 'send such calls, or let the fault concern others'
  const ms = (spare * callsToShowGone(experiment, signs) * (seenAt - removedAt!)) / callsAfter
  return `let more calls meet the fault, or raise \`recoverWithin\` to ${wholeSeconds(ms) / 1000} s`
}

function end(state: Recovering, outcome: Outcome, recovery: Recovery, now: number): EndedState {
  const timeline = [...state.timeline, { phase: 'ended' as const, at: now }]
  return { ...recordOf(state), timeline, phase: 'ended', since: now, outcome, recovery }
}
