// The end of an experiment: the fault is removed, and then the counters have to show that it and its effects are gone. Pure.
import { addRequests, noRequests, type RequestCounts } from '../../canary/analysis/request-counts.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { brokenLimits } from './evidence.ts'
import type { EndedState, Observation, Outcome, Recovery, State, Step } from './types.ts'

type Recovering = Extract<State, { phase: 'recovering' }>

/** So many samples in a row, with so many requests, show that the users are back. */
const shownBy = { samples: 3, requests: 10 }
const longestWindow = 10

export function recover(experiment: ExperimentConfig, before: Recovering, seen: Observation, now: number): Step {
  const { removedAt, ...rest } = before
  if (!seen.isRemoved) {
    const isLate = now - before.since >= experiment.recoverWithin + experiment.confirmTimeout
    return isLate
      ? {
          state: end(before, notRemoved(before.outcome), { kind: 'unconfirmed', problem, isRemoved: false }, now),
          actions: [],
        }
      : { state: before, actions: ['recover'] }
  }
  const state: Recovering = { ...rest, removedAt: removedAt ?? now, after: addSample(before, seen) }
  const elapsed = now - state.removedAt!
  if (isBack(experiment, state.after) && seen.unready === 0)
    return { state: end(state, state.outcome, { kind: 'confirmed', seconds: elapsed / 1000 }, now), actions: [] }
  if (elapsed < experiment.recoverWithin) return { state, actions: [] }
  return { state: endLate(experiment, state, seen, now), actions: [] }
}

const problem = 'the fault could not be removed; the guard continues to try'

function notRemoved({ reason }: Outcome): Outcome {
  return { verdict: 'inconclusive', reason: `${problem}; before that: ${reason}` }
}

/** A sample that still shows the fault starts the count again. */
function addSample({ after, removedAt }: Recovering, { users, signs }: Observation): RequestCounts[] {
  if (removedAt === undefined || signs.faulted > 0) return []
  return [...after, users].slice(-longestWindow)
}

/** Any window of the latest samples may show it, so that old failures do not count for ever. */
function isBack(experiment: ExperimentConfig, after: RequestCounts[]): boolean {
  return after.some((_, i) => {
    const window = after.slice(i)
    const users = window.reduce(addRequests, noRequests)
    const isShown = window.length >= shownBy.samples && users.requests >= shownBy.requests
    return isShown && brokenLimits(experiment, users).length === 0
  })
}

function endLate(
  experiment: ExperimentConfig,
  state: Recovering,
  { signs, unready }: Observation,
  now: number,
): EndedState {
  const { outcome, after } = state
  const within = `within ${experiment.recoverWithin / 1000} s after the fault was removed`
  const users = after.reduce(addRequests, noRequests)
  const broken = brokenLimits(experiment, users)
  const causes = [
    ...(signs.faulted > 0 ? ['the sidecars still apply it'] : []),
    ...(unready !== undefined && unready > 0 ? [`${unready} of the pods are not ready`] : []),
    ...broken,
  ]
  const isSeen = causes.length > 0
  const what = isSeen ? causes.join(', and ') : `too few requests of users (${users.requests})`
  const verdict = isSeen && signs.faulted === 0 ? 'fragile' : 'inconclusive'
  const late: Outcome = { verdict, reason: `no recovery was seen ${within}: ${what}; before that: ${outcome.reason}` }
  return end(
    state,
    late,
    { kind: 'unconfirmed', problem: `no recovery was seen ${within}: ${what}`, isRemoved: true },
    now,
  )
}

function end(state: Recovering, outcome: Outcome, recovery: Recovery, now: number): EndedState {
  const { steady, acting, evidence, mesh, signs } = state
  const timeline = [...state.timeline, { phase: 'ended' as const, at: now }]
  return { steady, acting, evidence, mesh, signs, timeline, phase: 'ended', since: now, outcome, recovery }
}
