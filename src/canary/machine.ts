// The promotion as a pure state machine: state and observation in, state and actions out. It knows neither
// clock nor cluster, so it can be tested and simulated, and its state is plain data that can be saved.
import type { CanaryConfig } from '../config/schema.ts'
import { add, begin, judge, type Judgement, type Test } from './judge.ts'

/**
 * What a group of pods served since the last observation. `slow` of the `timed` requests were not answered within the
 * limit of the latency check; sidecars publish times later than counts, so `timed` need not equal `requests`.
 */
export type Served = { requests: number; failures: number; timed: number; slow: number }

export type Observation = {
  canary: Served
  stable: Served
  /** The service's users, as their own sidecars counted them: after retries, and with the failures that no server saw. */
  users: Served
  /** All canary pods are ready. */
  ready: boolean
  /** Why the canary's pods are broken beyond waiting, such as a crash. */
  fault?: string
  /** Every canary pod's counters were read; while they are not, nothing can be said of it. */
  complete: boolean
}

export type Verdict = 'promoted' | 'rolled-back' | 'held' | 'inconclusive' | 'skipped'
export type Step = { weight: number; shiftedAt: number; watchedFrom?: number; endedAt?: number; canary: Served; stable: Served; outcome: string }
export type Checks = { successRate: Test; p99?: Test }

export type State = {
  /** waiting for ready pods → shifting (weight asked for, not seen yet) ⇄ watching → ended */
  phase: 'waiting' | 'shifting' | 'watching' | 'ended'
  startedAt: number
  /** The canary's weight at the start, and now. */
  startWeight: number
  weight: number
  steps: Step[]
  checks: Checks
  canary: Served
  users: Served
  firstTrafficAt?: number
  /** Since when the canary's counters could not be read. */
  blindSince?: number
  /** Milliseconds from the canary's first request to the decision against it. */
  timeToDetectMs?: number
  verdict?: Verdict
  reason?: string
}

export type Action = { kind: 'shift'; weight: number }
export type Next = { state: State; actions: Action[] }

export const nothing: Served = { requests: 0, failures: 0, timed: 0, slow: 0 }

/** `weight` is the canary's weight now; steps at or below it count as taken. */
export function start({ checks }: CanaryConfig, weight: number, now: number): State {
  return {
    phase: 'waiting',
    startedAt: now,
    startWeight: weight,
    weight,
    steps: [],
    checks: { successRate: begin(1 - checks.successRate), ...(checks.p99 === undefined ? {} : { p99: begin(0.01) }) },
    canary: nothing,
    users: nothing,
  }
}

export function next(plan: CanaryConfig, before: State, observation: Observation, now: number): Next {
  if (before.phase === 'ended') return { state: before, actions: [] }
  const state = take(before, observation, now)
  const condemned = observation.fault ?? against(plan, state)
  if (condemned !== undefined) return fail(plan, state, condemned, now)
  if (state.phase === 'waiting') return wait(plan, state, observation, now)
  if (state.blindSince !== undefined) return blind(plan, state, state.blindSince, now)
  if (state.phase === 'shifting') return seen(plan, state, now)
  return watch(plan, state, now)
}

/** Adds what was observed to the sums, the current step and the tests. What came before the first step counts neither way. */
function take({ blindSince, ...state }: State, { canary, stable, users, complete }: Observation, now: number): State {
  const sighted = complete ? state : { ...state, blindSince: blindSince ?? now }
  if (state.phase === 'waiting') return sighted
  const { successRate, p99 } = state.checks
  const firstTrafficAt = state.firstTrafficAt ?? (canary.requests > 0 ? now : undefined)
  return {
    ...sighted,
    ...(firstTrafficAt === undefined ? {} : { firstTrafficAt }),
    checks: {
      successRate: add(successRate, { requests: canary.requests, against: canary.failures }),
      ...(p99 ? { p99: add(p99, { requests: canary.timed, against: canary.slow }) } : {}),
    },
    canary: sum(state.canary, canary),
    users: sum(state.users, users),
    steps: withLast(state.steps, (step) => ({ ...step, canary: sum(step.canary, canary), stable: sum(step.stable, stable) })),
  }
}

/** The verdicts of the checks now; the chance of a false alarm is shared out among them. */
export function judgements({ checks: { falseAlarm } }: CanaryConfig, { checks }: State): { successRate: Judgement; p99?: Judgement } {
  const alpha = falseAlarm / (checks.p99 ? 2 : 1)
  return { successRate: judge(checks.successRate, alpha), ...(checks.p99 ? { p99: judge(checks.p99, alpha) } : {}) }
}

function against(plan: CanaryConfig, state: State): string | undefined {
  const { successRate, p99 } = judgements(plan, state)
  const { requests, failures, timed, slow } = state.canary
  if (successRate === 'fail')
    return `success rate: ${failures} of the canary's ${requests} requests failed (${percent(1 - failures / requests)} succeeded, the limit is ${percent(plan.checks.successRate)})`
  if (p99 === 'fail')
    return `latency: ${slow} of the canary's ${timed} requests (${percent(slow / timed)}) took longer than the limit of p99 (${plan.checks.p99 ?? 0} ms), which allows 1%`
  return undefined
}

function wait(plan: CanaryConfig, state: State, { ready }: Observation, now: number): Next {
  if (ready && state.blindSince === undefined) return advance(plan, state, now)
  if (now - state.startedAt < plan.patience) return { state, actions: [] }
  const what = ready ? "the counters of the canary's sidecars could not be read" : "the canary's pods did not become ready"
  return fail(plan, state, `${what} within ${plan.patience / 1000} s`, now)
}

/** A step counts once the traffic itself has moved: since the shift, the canary's share is nearer to the new weight than to the old. */
function seen(plan: CanaryConfig, state: State, now: number): Next {
  const { shiftedAt, canary, stable } = state.steps.at(-1)!
  const share = canary.requests === 0 ? 0 : (100 * canary.requests) / (canary.requests + stable.requests)
  const halfway = (state.weight + (state.steps.at(-2)?.weight ?? state.startWeight)) / 2
  if (share > halfway) return { state: { ...state, phase: 'watching', steps: withLast(state.steps, (step) => ({ ...step, watchedFrom: now, outcome: 'watching' })) }, actions: [] }
  if (now - shiftedAt < plan.patience) return { state, actions: [] }
  const what = canary.requests === 0 ? 'no request reached the canary' : `the canary served only ${percent(share / 100)} of the requests`
  return inconclusive(plan, state, `at weight ${state.weight} ${what} within ${plan.patience / 1000} s`, now)
}

/** No evidence is no good evidence: nothing advances, and after a while the traffic goes back, unless it is to be held. */
function blind(plan: CanaryConfig, state: State, since: number, now: number): Next {
  if (now - since < plan.patience) return { state, actions: [] }
  const reason = `the counters of the canary's sidecars could not be read for ${plan.patience / 1000} s`
  return plan.onInconclusive === 'hold' ? end(state, 'held', reason, now) : putBack(state, 'inconclusive', reason, now)
}

function watch(plan: CanaryConfig, state: State, now: number): Next {
  const step = state.steps.at(-1)!
  const watched = now - step.watchedFrom!
  if (watched < plan.interval) return { state, actions: [] }
  if (step.canary.requests >= plan.checks.minRequests) return advance(plan, closed(state, 'passed', now), now)
  if (watched < plan.interval + plan.patience) return { state, actions: [] }
  return inconclusive(plan, state, `at weight ${state.weight} the canary served ${step.canary.requests} requests in ${Math.round(watched / 1000)} s, fewer than the ${plan.checks.minRequests} that a step needs`, now)
}

function advance(plan: CanaryConfig, state: State, now: number): Next {
  const weight = plan.steps.find((each) => each > state.weight)
  if (weight === undefined) {
    const doubtful = state.steps.filter(({ outcome }) => outcome === 'inconclusive').map((step) => step.weight)
    const passed = doubtful.length === 0 ? 'every step passed its checks' : `no check failed; the steps at ${doubtful.join(', ')} saw too little evidence and were taken all the same, as onInconclusive says`
    return state.weight === 100 ? end(state, 'promoted', passed, now) : end(state, 'held', `${passed}, and the steps end at ${state.weight}`, now)
  }
  const step: Step = { weight, shiftedAt: now, canary: nothing, stable: nothing, outcome: 'shifting' }
  return { state: { ...state, phase: 'shifting', weight, steps: [...state.steps, step] }, actions: [{ kind: 'shift', weight }] }
}

function fail(plan: CanaryConfig, state: State, reason: string, now: number): Next {
  const timed = state.firstTrafficAt === undefined ? state : { ...state, timeToDetectMs: now - state.firstTrafficAt }
  const failed = closed(timed, 'failed', now)
  return plan.onFail === 'hold' ? end(failed, 'held', reason, now) : putBack(failed, 'rolled-back', reason, now)
}

function inconclusive(plan: CanaryConfig, state: State, reason: string, now: number): Next {
  const short = closed(state, 'inconclusive', now)
  if (plan.onInconclusive === 'promote') return advance(plan, short, now)
  return plan.onInconclusive === 'hold' ? end(short, 'held', reason, now) : putBack(short, 'inconclusive', reason, now)
}

/** Ends with all traffic on stable, for whatever reason; also when the run is cancelled or broken. */
export function putBack(state: State, verdict: Verdict, reason: string, now: number): Next {
  const ended = end(closed(state, verdict, now), verdict, reason, now)
  return { state: { ...ended.state, weight: 0 }, actions: [{ kind: 'shift', weight: 0 }] }
}

function end(state: State, verdict: Verdict, reason: string, now: number): Next {
  return { state: { ...closed(state, verdict, now), phase: 'ended', verdict, reason }, actions: [] }
}

/** Closes the current step, once. */
function closed(state: State, outcome: string, now: number): State {
  return { ...state, steps: withLast(state.steps, (step) => (step.endedAt === undefined ? { ...step, endedAt: now, outcome } : step)) }
}

function withLast(steps: Step[], change: (step: Step) => Step): Step[] {
  return steps.map((step, i) => (i === steps.length - 1 ? change(step) : step))
}

/** Both together. */
export function sum(a: Served, b: Served): Served {
  return { requests: a.requests + b.requests, failures: a.failures + b.failures, timed: a.timed + b.timed, slow: a.slow + b.slow }
}

function percent(fraction: number): string {
  return `${Number((fraction * 100).toFixed(2))}%`
}
