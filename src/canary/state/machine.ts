// The promotion as one pure state machine: state and observation in, state and actions out. It knows neither
// clock nor cluster, so it can be tested and simulated, and its state is plain data that can be saved.
import type { CanaryConfig } from '../../config/schema.ts'
import {
  addSample,
  createChecks,
  checkResults,
  describeCheck,
  closeComparison,
  type CheckResult,
  type Checks,
} from '../analysis/checks.ts'
import type { Finding, Gate } from './finding.ts'
import { noRequests, addRequests, type RequestCounts } from '../analysis/request-counts.ts'
import { hasShifted, addShiftSample, type ShiftEvidence } from '../analysis/shift-detector.ts'

export type Observation = {
  canary: RequestCounts
  stable: RequestCounts
  /** The service's users, as their own sidecars counted them: after retries, and with the failures that no server saw. */
  users: RequestCounts
  /** All canary pods are ready. */
  ready: boolean
  /** Why the canary's pods are broken beyond waiting, such as a crash. */
  fault?: string
  /** Somebody else changed the weights or the routes: who, and what stands there now. */
  drift?: string
  /** The guard is not on duty yet, and so nothing may move. */
  unguarded?: boolean
  /** Every counter that was to be read was read; while they are not, nothing can be said of the canary. */
  complete: boolean
  /** What queries, commands and hooks answered last. */
  findings: Finding[]
  gates: Partial<Record<Gate, Finding>>
}

export type Verdict = 'promoted' | 'rolled-back' | 'held' | 'inconclusive' | 'skipped'

/** What the canary goes through, one after the other: copies of requests, those that match, and shares of all. */
export type Stage =
  | { kind: 'mirror'; percent: number; forMs: number }
  | { kind: 'ab'; forMs: number }
  | { kind: 'weight'; weight: number; forMs: number }

/** `watched`: requests since the traffic was seen to have moved, by which the split is told. */
export type Step = {
  kind: Stage['kind']
  /** The canary's weight in per cent; of a mirror, the share that is copied. */
  weight: number
  /** The canary's weight before it. */
  from: number
  shiftedAt: number
  watchedFrom?: number
  endedAt?: number
  canary: RequestCounts
  stable: RequestCounts
  watched: { canary: number; stable: number }
  /** Whether the traffic has moved, while that is not sure. */
  shift?: ShiftEvidence
  outcome: string
}

export type State = {
  /** waiting for ready pods and the hooks before → shifting (asked for, not seen yet) ⇄ watching → confirming → ended */
  phase: 'waiting' | 'shifting' | 'watching' | 'confirming' | 'ended'
  startedAt: number
  /** Since when it waits to begin, or to go on after an interruption. */
  waitingSince: number
  /** The canary's weight at the start, and now. */
  startWeight: number
  weight: number
  /** Stages taken so far. */
  stagesStarted: number
  steps: Step[]
  checks: Checks
  /** All that stable served, by whose times the canary's are judged; with what it served before. */
  stableTotal: RequestCounts
  /** Since the first stage. */
  canary: RequestCounts
  stable: RequestCounts
  users: RequestCounts
  /** The last answer of each query, command and hook. */
  findings: Record<string, Finding>
  passed: Gate[]
  firstTrafficAt?: number
  /** Since when the counters could not be read. */
  blindSince?: number
  confirmingSince?: number
  /** How often the weights were written again after somebody else had changed them. */
  takenOver: number
  /** Milliseconds from the canary's first request to the decision against it. */
  timeToDetectMs?: number
  verdict?: Verdict
  reason?: string
  /** It is held because the plan says so: nothing went wrong. */
  asPlanned?: boolean
}

export type Action =
  | { kind: 'weight'; weight: number }
  | { kind: 'mirror'; percent: number }
  | { kind: 'ab' }
  | { kind: 'clear' }
export type Next = { state: State; actions: Action[] }

/** The stages of the plan, up to where it is to stop for now. */
export function stagesOf({ mirror, ab, steps, until = 100, interval }: CanaryConfig): Stage[] {
  return [
    ...(mirror ? [{ kind: 'mirror', percent: mirror.percent, forMs: mirror.interval ?? interval } as const] : []),
    ...(ab ? [{ kind: 'ab', forMs: ab.intervals * interval } as const] : []),
    ...steps
      .filter((weight) => weight <= until)
      .map((weight) => ({ kind: 'weight', weight, forMs: interval }) as const),
  ]
}

/** `weight` is the canary's weight now: what it has reached counts as taken. `before`: what stable served until now. */
export function initialState(
  plan: CanaryConfig,
  weight: number,
  now: number,
  before: RequestCounts = noRequests,
): State {
  const stagesStarted =
    weight === 0 ? 0 : stagesOf(plan).filter((stage) => stage.kind !== 'weight' || stage.weight <= weight).length
  return {
    phase: 'waiting',
    startedAt: now,
    waitingSince: now,
    startWeight: weight,
    weight,
    stagesStarted,
    steps: [],
    checks: createChecks(plan),
    stableTotal: before,
    canary: noRequests,
    stable: noRequests,
    users: noRequests,
    findings: {},
    passed: [],
    takenOver: 0,
  }
}

const interrupted = 'interrupted'

/**
 * A saved promotion of the same canary by the same plan goes on: what its checks have seen counts on, so that no chance of
 * a false alarm is spent twice, and a step that was cut short is taken again. `weight` is the canary's weight now.
 */
export function resumeState(saved: State, weight: number, now: number): State {
  const { blindSince, confirmingSince, verdict, reason, asPlanned, ...kept } = saved
  const last = kept.steps.at(-1)
  const cut = last !== undefined && (last.outcome === 'shifting' || last.outcome === 'watching')
  const steps = cut
    ? withLast(kept.steps, (step) => ({ ...step, endedAt: step.watchedFrom ?? step.shiftedAt, outcome: interrupted }))
    : kept.steps
  return {
    ...kept,
    phase: 'waiting',
    waitingSince: now,
    weight,
    stagesStarted: cut ? kept.stagesStarted - 1 : kept.stagesStarted,
    steps,
    checks: closeComparison(kept.checks),
    findings: {},
  }
}

export function next(plan: CanaryConfig, before: State, observation: Observation, now: number): Next {
  if (before.phase === 'ended') return { state: before, actions: [] }
  const state = take(plan, before, observation, now)
  const { rollback } = observation.gates
  if (rollback?.state === 'pass')
    return endOnStable(state, 'rolled-back', `the webhook ${rollback.name} asked for it`, now)
  const condemned = observation.fault ?? against(plan, state)
  if (condemned !== undefined) return fail(plan, state, condemned, now)
  if (observation.drift !== undefined) return strayed(plan, state, observation.drift, now)
  if (state.phase === 'waiting') return wait(plan, state, observation, now)
  if (state.blindSince !== undefined) return blind(plan, state, state.blindSince, now)
  if (state.weight === 100 && !isAlone(state) && sharedOf(plan, state)) return compare(plan, state, now)
  if (state.phase === 'shifting') return seen(plan, state, observation, now)
  return state.phase === 'confirming' ? confirm(plan, state, observation, now) : watch(plan, state, now)
}

/** Adds what was observed to the sums, the current step and the tests. What came before the first stage counts neither way. */
function take(plan: CanaryConfig, { blindSince, ...before }: State, observation: Observation, now: number): State {
  const { canary, stable, users, complete, findings, gates } = observation
  const passed = Object.entries(gates).flatMap(([gate, { state }]) => (state === 'pass' ? [gate as Gate] : []))
  const state: State = {
    ...before,
    ...(complete ? {} : { blindSince: blindSince ?? now }),
    stableTotal: addRequests(before.stableTotal, stable),
    findings: { ...before.findings, ...Object.fromEntries(findings.map((finding) => [finding.name, finding])) },
    passed: [...new Set([...before.passed, ...passed])],
  }
  if (state.phase === 'waiting') return state
  const firstTrafficAt = state.firstTrafficAt ?? (canary.requests > 0 ? now : undefined)
  return {
    ...state,
    ...(firstTrafficAt === undefined ? {} : { firstTrafficAt }),
    checks: addSample(plan, state.checks, canary, stable, isAlone(state), before.stableTotal.times),
    canary: addRequests(state.canary, canary),
    stable: addRequests(state.stable, stable),
    users: addRequests(state.users, users),
    steps: withLast(state.steps, (step) => ({
      ...step,
      canary: addRequests(step.canary, canary),
      stable: addRequests(step.stable, stable),
      watched: told(step, canary, stable),
    })),
  }
}

function told({ watchedFrom, watched }: Step, canary: RequestCounts, stable: RequestCounts): Step['watched'] {
  return watchedFrom === undefined
    ? watched
    : { canary: watched.canary + canary.requests, stable: watched.stable + stable.requests }
}

/** What every check has counted, how strong its evidence is, and what it says. */
export function explainChecks(plan: CanaryConfig, { checks, canary, stable }: State): CheckResult[] {
  return checkResults(plan, checks, canary, stable)
}

/** The first thing that condemns the canary, in words. */
function against(plan: CanaryConfig, state: State): string | undefined {
  if (state.phase === 'waiting') return undefined
  const line = explainChecks(plan, state).find(({ verdict }) => verdict === 'fail')
  if (line) return describeCheck(plan, state.checks, line)
  const finding = Object.values(state.findings).find(
    (each) => each.state === 'fail' && each.at >= (state.steps[0]?.shiftedAt ?? Infinity),
  )
  return finding && `${finding.name}: ${finding.text}`
}

const has = ({ webhooks }: CanaryConfig, gate: Gate) => Object.values(webhooks).some(({ type }) => type === gate)
const open = (plan: CanaryConfig, { passed }: State, gate: Gate) => has(plan, gate) && !passed.includes(gate)

/** The hooks whose answer is waited for now; the rest need not be asked. */
export function dueGates(plan: CanaryConfig, state: State): Gate[] {
  const first = (['confirm-rollout', 'pre-rollout'] as const).find((gate) => open(plan, state, gate))
  return [
    ...(state.phase === 'waiting' && first ? [first] : []),
    ...(state.phase === 'confirming' ? (['confirm-promotion'] as const) : []),
    ...(has(plan, 'rollback') ? (['rollback'] as const) : []),
  ]
}

const takeovers = 3

/** Somebody else has a hand in the traffic: what is seen from now on is not what was asked for. */
function strayed(plan: CanaryConfig, state: State, drift: string, now: number): Next {
  if (plan.onDrift === 'take-over' && state.takenOver < takeovers && state.phase !== 'waiting') {
    const over = { ...state, takenOver: state.takenOver + 1, checks: closeComparison(state.checks) }
    return { state: over, actions: [{ kind: 'weight', weight: state.weight }, ...again(state)] }
  }
  const often = state.takenOver > 0 ? `, though its weights were written again ${state.takenOver} times` : ''
  return fail(plan, state, `${drift}${often}; let one of the two have the weights (\`onDrift\`, docs/gitops.md)`, now)
}

/** What a stage asks of the routes beside a weight. */
function again({ steps }: State): Action[] {
  const step = steps.at(-1)
  return step?.kind === 'mirror'
    ? [{ kind: 'mirror', percent: step.weight }]
    : step?.kind === 'ab'
      ? [{ kind: 'ab' }]
      : []
}

function wait(plan: CanaryConfig, state: State, { ready, gates, unguarded }: Observation, now: number): Next {
  const gate = dueGates(plan, state).find((each) => each !== 'rollback')
  if (ready && !unguarded && state.blindSince === undefined && gate === undefined) return advance(plan, state, now)
  const [what, limit, name] = unguarded
    ? (['the guard did not come on duty', plan.progressDeadline, 'progressDeadline'] as const)
    : !ready
      ? (["the canary's pods did not become ready", plan.progressDeadline, 'progressDeadline'] as const)
      : state.blindSince !== undefined
        ? (['the counters of the sidecars could not be read', plan.progressDeadline, 'progressDeadline'] as const)
        : ([
            `${gate ?? ''} was not confirmed${gates[gate!] ? ` (${gates[gate!]!.name}: ${gates[gate!]!.text})` : ''}`,
            plan.confirmTimeout,
            'confirmTimeout',
          ] as const)
  if (now - state.waitingSince < limit) return { state, actions: [] }
  return fail(plan, state, `${what} within ${limit / 1000} s (\`${name}\`)`, now)
}

/** The last share that the canary had beside stable; 0 when it never had one. */
function sharedWeight({ steps, startWeight }: State): number {
  const shared = steps.findLast(({ kind, weight }) => kind === 'weight' && weight < 100)
  return shared?.weight ?? (startWeight < 100 ? startWeight : 0)
}

/** Stable gets nothing, and never was compared with: blue and green. */
const isAlone = (state: State) => state.weight === 100 && sharedWeight(state) === 0

const wentBack = 'went back to compare'
/** After so many it is left at that. */
const returns = 3

/**
 * With all the traffic the canary misses its limit, and nobody can tell whether stable would keep it: an outage of what both
 * ask looks the same. So it goes back to the step before, where failures that come by lot tell, and goes on from there.
 */
function compare(plan: CanaryConfig, state: State, now: number): Next {
  const weight = sharedWeight(state)
  const missed = 1 + state.steps.filter(({ outcome }) => outcome === wentBack).length
  if (missed > returns)
    return leave(
      plan,
      state,
      `at weight 100, where there is no stable to compare with, the limit was missed ${missed} times`,
      now,
    )
  const step: Step = {
    kind: 'weight',
    weight,
    from: state.weight,
    shiftedAt: now,
    canary: noRequests,
    stable: noRequests,
    watched: { canary: 0, stable: 0 },
    outcome: 'shifting',
  }
  const { steps } = closed(state, wentBack, now)
  return {
    state: {
      ...state,
      phase: 'shifting',
      weight,
      stagesStarted: state.stagesStarted - 1,
      steps: [...steps, step],
      checks: closeComparison(state.checks),
    },
    actions: [{ kind: 'weight', weight }],
  }
}

/** A step counts once the traffic itself has moved: it is likelier than not that the canary's share is the new one by now. */
function seen(plan: CanaryConfig, state: State, look: Observation, now: number): Next {
  const { kind, from, shiftedAt, canary, stable, shift } = state.steps.at(-1)!
  const served = canary.requests + stable.requests
  const byNow =
    kind === 'weight' && from !== state.weight
      ? addShiftSample(shift, from, state.weight, look.canary.requests, look.stable.requests)
      : undefined
  const moved = kind !== 'weight' ? canary.requests > 0 : byNow === undefined ? served > 0 : hasShifted(byNow)
  const needsNone = plan.checks.minRequests === 0 && served === 0 && now > shiftedAt
  if (moved || needsNone)
    return {
      state: {
        ...state,
        phase: 'watching',
        steps: withLast(state.steps, ({ shift: _, ...step }) => ({ ...step, watchedFrom: now, outcome: 'watching' })),
      },
      actions: [],
    }
  if (now - shiftedAt < plan.progressDeadline)
    return {
      state: { ...state, steps: withLast(state.steps, (step) => ({ ...step, ...(byNow ? { shift: byNow } : {}) })) },
      actions: [],
    }
  const what =
    canary.requests === 0
      ? 'no request reached the canary'
      : `the canary served only ${Number(((100 * canary.requests) / served).toFixed(2))}% of the requests`
  return inconclusive(
    plan,
    state,
    `${nameOf(state)} ${what} within ${plan.progressDeadline / 1000} s (\`progressDeadline\`)`,
    now,
  )
}

function nameOf({ steps, weight }: State): string {
  const kind = steps.at(-1)?.kind
  return kind === 'mirror' ? 'mirrored' : kind === 'ab' ? 'with the requests that match' : `at weight ${weight}`
}

/** No evidence is no good evidence: nothing advances, and after a while the traffic goes back, unless it is to be held. */
function blind(plan: CanaryConfig, state: State, since: number, now: number): Next {
  if (now - since < plan.progressDeadline) return { state, actions: [] }
  const reason = `the counters of the sidecars could not be read for ${plan.progressDeadline / 1000} s (\`progressDeadline\`)`
  return leave(plan, state, reason, now)
}

/** Ends undecided where going on is out of the question, whatever was asked for. */
function leave(plan: CanaryConfig, state: State, reason: string, now: number): Next {
  return plan.onInconclusive === 'hold'
    ? end(state, 'held', reason, now)
    : endOnStable(state, 'inconclusive', reason, now)
}

function watch(plan: CanaryConfig, state: State, now: number): Next {
  const { forMs } = stagesOf(plan)[state.stagesStarted - 1]!
  const watched = now - state.steps.at(-1)!.watchedFrom!
  const long = watched >= forMs || (plan.advance === 'early' && watched >= plan.minInterval && certain(plan, state))
  if (!long) return { state, actions: [] }
  const doubt = doubtOf(plan, state)
  if (doubt === undefined) return advance(plan, closed(state, 'passed', now), now)
  if (watched < forMs + plan.progressDeadline) return { state, actions: [] }
  return inconclusive(plan, state, `${nameOf(state)}, watched for ${Math.round(watched / 1000)} s, ${doubt}`, now)
}

/** What keeps the step from passing though nothing condemns it. */
function doubtOf(plan: CanaryConfig, state: State): string | undefined {
  const { canary, watchedFrom } = state.steps.at(-1)!
  const { minRequests } = plan.checks
  if (canary.requests < minRequests)
    return `the canary served ${canary.requests} requests, fewer than the ${minRequests} that a step needs (\`checks.minRequests\`)`
  const shared = sharedOf(plan, state)
  if (shared) return `the limit was missed, but stable fares no better (${describeCheck(plan, state.checks, shared)})`
  const mute = asked(plan).find(
    (name) => !((state.findings[name]?.at ?? -1) >= watchedFrom! && state.findings[name]?.state === 'pass'),
  )
  return mute === undefined ? undefined : `${mute} did not pass (${state.findings[mute]?.text ?? 'no answer yet'})`
}

function sharedOf(plan: CanaryConfig, state: State): CheckResult | undefined {
  return explainChecks(plan, state).find(({ verdict }) => verdict === 'shared')
}

/** Who has to say yes in every step. */
function asked({ checks: { queries, commands }, webhooks }: CanaryConfig): string[] {
  return [
    ...Object.keys(queries),
    ...Object.keys(commands),
    ...Object.entries(webhooks).flatMap(([name, { type }]) => (type === 'rollout' ? [name] : [])),
  ]
}

/** Every limit is certified, and beside stable nothing leans against the canary. */
function certain(plan: CanaryConfig, state: State): boolean {
  return explainChecks(plan, state).every(
    ({ verdict, failEvidence, check }) =>
      verdict === 'pass' || (check.endsWith('stable') && verdict === 'undecided' && failEvidence <= 1),
  )
}

/** The last step of a promotion waits for those who have to confirm it. */
function confirm(plan: CanaryConfig, state: State, { gates }: Observation, now: number): Next {
  if (!open(plan, state, 'confirm-promotion')) return advance(plan, state, now)
  if (now - state.confirmingSince! < plan.confirmTimeout) return { state, actions: [] }
  const hook = gates['confirm-promotion']
  return fail(
    plan,
    state,
    `the promotion was not confirmed${hook ? ` (${hook.name}: ${hook.text})` : ''} within ${plan.confirmTimeout / 1000} s (\`confirmTimeout\`)`,
    now,
  )
}

function advance(plan: CanaryConfig, state: State, now: number): Next {
  const stages = stagesOf(plan)
  const stage = stages[state.stagesStarted]
  if (!stage) return finish(plan, state, now)
  const isLast = state.stagesStarted === stages.length - 1 && stage.kind === 'weight' && plan.until === undefined
  if (isLast && open(plan, state, 'confirm-promotion'))
    return { state: { ...state, phase: 'confirming', confirmingSince: state.confirmingSince ?? now }, actions: [] }
  const last = state.steps.at(-1)?.kind
  const weight = stage.kind === 'weight' ? stage.weight : state.weight
  const step: Step = {
    kind: stage.kind,
    weight: stage.kind === 'mirror' ? stage.percent : weight,
    from: state.weight,
    shiftedAt: now,
    canary: noRequests,
    stable: noRequests,
    watched: { canary: 0, stable: 0 },
    outcome: 'shifting',
  }
  return {
    state: {
      ...state,
      phase: 'shifting',
      weight,
      stagesStarted: state.stagesStarted + 1,
      steps: [...state.steps, step],
      checks: state.steps.length === 0 ? state.checks : closeComparison(state.checks),
    },
    actions: [
      ...(last === 'mirror' || last === 'ab' ? [{ kind: 'clear' } as const] : []),
      stage.kind === 'weight'
        ? { kind: 'weight', weight }
        : stage.kind === 'mirror'
          ? { kind: 'mirror', percent: stage.percent }
          : { kind: 'ab' },
    ],
  }
}

function finish(plan: CanaryConfig, state: State, now: number): Next {
  const doubtful = state.steps.filter(({ outcome }) => outcome === 'inconclusive').map((step) => step.weight)
  const passed =
    state.steps.length === 0
      ? 'it has its weight already'
      : doubtful.length === 0
        ? 'every step passed its checks'
        : `no check failed; the steps at ${doubtful.join(', ')} saw too little evidence and were taken all the same, as onInconclusive says`
  if (state.weight === 100) return end(state, 'promoted', passed, now)
  const until =
    plan.until === undefined ? `the steps end at ${state.weight}` : `it was to stop at ${plan.until} for now`
  return end({ ...state, asPlanned: true }, 'held', `${passed}, and ${until}`, now)
}

function fail(plan: CanaryConfig, state: State, reason: string, now: number): Next {
  const timed = state.firstTrafficAt === undefined ? state : { ...state, timeToDetectMs: now - state.firstTrafficAt }
  const failed = closed(timed, 'failed', now)
  return plan.onFail === 'hold' ? end(failed, 'held', reason, now) : endOnStable(failed, 'rolled-back', reason, now)
}

function inconclusive(plan: CanaryConfig, state: State, reason: string, now: number): Next {
  const short = closed(state, 'inconclusive', now)
  if (plan.onInconclusive === 'promote') return advance(plan, short, now)
  return plan.onInconclusive === 'hold'
    ? end(short, 'held', reason, now)
    : endOnStable(short, 'inconclusive', reason, now)
}

/** Ends with all traffic on stable, for whatever reason; also when the run is cancelled or broken. */
export function endOnStable(state: State, verdict: Verdict, reason: string, now: number): Next {
  const ended = end(closed(state, verdict, now), verdict, reason, now)
  const kinds = state.steps.map(({ kind }) => kind)
  const clear: Action[] = kinds.includes('mirror') || kinds.includes('ab') ? [{ kind: 'clear' }] : []
  return { state: { ...ended.state, weight: 0 }, actions: [{ kind: 'weight', weight: 0 }, ...clear] }
}

/** Ends where it is, for a later run to go on from. */
export function endHeld(state: State, reason: string, now: number): Next {
  return end(state, 'held', reason, now)
}

/** A stage that copies or picks requests is over with the promotion, also when the weights are held. */
function end(state: State, verdict: Verdict, reason: string, now: number): Next {
  const last = state.steps.at(-1)?.kind
  return {
    state: { ...closed(state, verdict, now), phase: 'ended', verdict, reason },
    actions: last === 'mirror' || last === 'ab' ? [{ kind: 'clear' }] : [],
  }
}

/** Closes the current step, once. */
function closed(state: State, outcome: string, now: number): State {
  return {
    ...state,
    steps: withLast(state.steps, (step) => (step.endedAt === undefined ? { ...step, endedAt: now, outcome } : step)),
  }
}

function withLast(steps: Step[], change: (step: Step) => Step): Step[] {
  return steps.map((step, i) => (i === steps.length - 1 ? change(step) : step))
}
