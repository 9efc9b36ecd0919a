// The promotion as a pure state machine: state and observation in, state and actions out. It knows neither clock nor
// cluster, so it can be tested and simulated.
import type { CanaryConfig } from '../../config/schema.ts'
import { checkResults, type CheckResult } from '../analysis/check-results.ts'
import { describeCheck, describeMissing } from '../analysis/check-sentences.ts'
import { addSample, closeComparison } from '../analysis/checks.ts'
import { addRequests, shownCount } from '../analysis/request-counts.ts'
import { addShare, differsFromWeight, noShare } from '../analysis/share.ts'
import { addShiftSample, hasShifted, type ShiftEvidence } from '../analysis/shift-detector.ts'
import { addUnserved, isCanaryUnserved, isUnservedTooOften, type Served } from '../analysis/unserved.ts'
import { end, endFailed, endOnStable, endUndecided } from './ending.ts'
import { clearActions, describeStage, stageAction, stagesOf } from './stages.ts'
import {
  countInLastStep,
  currentStep,
  endCurrentStep,
  progressOf,
  replaceCurrent,
  startStep,
  startWatching,
  type BetweenSteps,
} from './steps.ts'
import type { Finding, Gate } from './finding.ts'
import { findColdCanary, judgedPart, warmUpWith } from './warm-up.ts'
import type {
  Action,
  ActiveState,
  ConfirmingState,
  Next,
  Observation,
  ShiftingState,
  ShiftingStep,
  State,
  WaitingState,
  WatchingState,
  WatchingStep,
} from './types.ts'

/** One sample with the state that already counts it, and what the checks say. `now`: milliseconds since the epoch. */
type RuleInput = {
  plan: CanaryConfig
  state: ActiveState
  results: CheckResult[]
  observation: Observation
  now: number
}
type Rule = (turn: RuleInput) => Next | undefined

/** `then` follows from what `when` finds; undefined finds nothing. */
function rule<Found>({ when, then }: { when: (turn: RuleInput) => Found | undefined; then: Then<Found> }): Rule {
  return (turn) => {
    const found = when(turn)
    return found === undefined ? undefined : then(found, turn)
  }
}
type Then<Found> = (found: Found, turn: RuleInput) => Next

/**
 * The first rule that applies decides, so their order shows what matters most: rules that take traffic from the canary,
 * then rules that wait, then rules that give it more.
 */
const rules: Rule[] = [
  rule({ when: findRollbackRequest, then: rollBackOnRequest }),
  rule({ when: findFailure, then: (reason, { plan, state, now }) => endFailed(plan, state, reason, now) }),
  rule({ when: ({ observation }) => observation.drift, then: handleDrift }),
  rule({ when: findStableOutage, then: handleStableOutage }),
  rule({ when: findUnserved, then: handleUnserved }),
  rule({ when: ({ state }) => inPhase(state, 'waiting'), then: waitToStart }),
  rule({ when: ({ state }) => state.countersMissingSince, then: waitForCounters }),
  rule({ when: ({ state }) => state.unguardedSince, then: waitForGuard }),
  rule({ when: findWrongShare, then: (reason, { plan, state, now }) => giveUp(plan, state, reason, now) }),
  rule({ when: findSharedFailureAlone, then: returnToCompare }),
  rule({ when: ({ state }) => inPhase(state, 'shifting'), then: waitForShift }),
  rule({ when: ({ state }) => inPhase(state, 'confirming'), then: waitForConfirmation }),
  rule({ when: ({ state }) => inPhase(state, 'watching'), then: watchStep }),
]

/** Decides what follows from one sample. `now`: milliseconds since the epoch. */
export function next(plan: CanaryConfig, before: State, observation: Observation, now: number): Next {
  if (before.phase === 'ended') return { state: before, actions: [] }
  const state = addObservation(plan, before, observation, now)
  const turn = { plan, state, results: explainChecks(plan, state), observation, now }
  for (const decide of rules) {
    const decision = decide(turn)
    if (decision) return decision
  }
  return stay(state)
}

const stay = (state: State): Next => ({ state, actions: [] })

function inPhase<P extends ActiveState['phase']>(state: ActiveState, phase: P) {
  return state.phase === phase ? (state as Extract<ActiveState, { phase: P }>) : undefined
}

// Counting.

/** Adds a sample to the sums, the last step and the checks. What came before the first stage is not evidence. */
function addObservation(plan: CanaryConfig, before: ActiveState, observation: Observation, now: number): ActiveState {
  const { countersMissingSince, unguardedSince, unservedSince, ...rest } = before
  const { users, complete, unguarded, findings, gates } = observation
  const passed = Object.entries(gates).flatMap(([gate, { state }]) => (state === 'pass' ? [gate as Gate] : []))
  const state: ActiveState = {
    ...rest,
    ...(complete ? {} : { countersMissingSince: countersMissingSince ?? now }),
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
const settleMs = { shortest: 5_000, longest: 10_000 }

/** Adds a sample to the share of a step whose weight all callers have had time to receive. */
function countShare(plan: CanaryConfig, state: ActiveState, observation: Observation, now: number): ActiveState {
  if (state.phase !== 'watching' || !observation.share) return state
  const step = currentStep(state.steps)
  const shortestMs = plan.advance === 'early' ? plan.minInterval : plan.interval
  if (step.kind !== 'weight' || now - step.shiftedAt < settlesAfter(shortestMs)) return state
  const share = addShare(step.watched.share ?? noShare, observation.canary, observation.stable)
  return { ...state, steps: replaceCurrent(state.steps, { ...step, watched: { ...step.watched, share } }) }
}

/** What every check has counted, how strong its evidence is, and its verdict. */
export function explainChecks(plan: CanaryConfig, { checks, canary, stable }: State): CheckResult[] {
  return checkResults(plan, checks, canary, stable)
}

function settlesAfter(stepMs: number): number {
  return Math.min(settleMs.longest, Math.max(settleMs.shortest, stepMs / 2))
}

// A webhook asks for a rollback.

function findRollbackRequest({ observation: { gates } }: RuleInput): Finding | undefined {
  return gates.rollback?.state === 'pass' ? gates.rollback : undefined
}

function rollBackOnRequest({ name }: Finding, { state, now }: RuleInput): Next {
  return endOnStable(state, 'rolled-back', `the webhook ${name} requested a rollback`, now)
}

// The canary failed.

/** The first reason why the canary failed, in words. */
function findFailure({ plan, state, results, observation: { fault } }: RuleInput): string | undefined {
  if (fault !== undefined || state.phase === 'waiting') return fault
  const result = findVerdict(results, 'fail')
  if (result) return describeCheck(plan, state.checks, result)
  const since = state.steps[0]?.shiftedAt ?? Infinity
  const finding = Object.values(state.findings).find((each) => each.state === 'fail' && each.at >= since)
  return finding && `${finding.name}: ${finding.text}`
}

// Someone else changed the traffic, so what is observed from now on is not what the plan asked for.

const maxTakeovers = 3

function handleDrift(drift: string, { plan, state, now }: RuleInput): Next {
  if (plan.onDrift === 'take-over' && state.takeovers < maxTakeovers && state.phase !== 'waiting') {
    const current = state.phase === 'watching' ? withoutShare(state) : state
    const taken = { ...current, takeovers: state.takeovers + 1, checks: closeComparison(state.checks) }
    return { state: taken, actions: [{ kind: 'weight', weight: state.weight }, ...routeActions(state)] }
  }
  const often = state.takeovers > 0 ? `, though its weights were written again ${state.takeovers} times` : ''
  const reason = `${drift}${often}; let only one of the two write the weights (\`onDrift\`, docs/gitops.md)`
  return endFailed(plan, state, reason, now)
}

/** The requests until now followed the weights of somebody else. */
function withoutShare(state: WatchingState): WatchingState {
  const step = currentStep(state.steps)
  const { share: _, ...watched } = step.watched
  return { ...state, steps: replaceCurrent(state.steps, { ...step, watched }) }
}

/** What the last step asks of the routes beside a weight. */
function routeActions({ steps }: ActiveState): Action[] {
  const step = steps.at(-1)
  if (step?.kind === 'mirror') return [{ kind: 'mirror', percent: step.weight }]
  return step?.kind === 'ab' ? [{ kind: 'ab' }] : []
}

// Stable has no endpoint, so its share of the requests fails, and so would all requests after a rollback.

function findStableOutage({ plan: { stable, service }, observation }: RuleInput): string | undefined {
  if (!observation.stableDown) return undefined
  return stable.by === 'service'
    ? `no ready pod is behind the Service ${stable.name}, which serves beside the canary`
    : `no ready pod of ${stable.name}, which serves beside the canary, is behind the Service ${service}`
}

/** Before the first stage it may still become ready; afterwards users have errors already. */
function handleStableOutage(outage: string, { plan, state, now }: RuleInput): Next {
  const reason = `${outage}; scale it up, or repair its pods`
  if (state.phase !== 'waiting') return giveUp(plan, state, reason, now)
  if (now - state.waitingSince < plan.progressDeadline) return stay(state)
  return giveUp(plan, state, `after ${plan.progressDeadline / 1000} s (\`progressDeadline\`) ${reason}`, now)
}

// Users' requests fail before they reach a version, which no check of a version sees.

type UnservedFault = { isCanarys: boolean; reason: string }

/** If a sample without an answer of stable has so many lost requests, they are not the canary's alone. */
const minOutage = 3

/** Undefined also while the share of the canary may still show whose failures they are. */
function findUnserved({ plan, state, observation, now }: RuleInput): UnservedFault | undefined {
  if (state.phase === 'waiting' || !observation.unserved?.violations) return undefined
  const reason = describeUnserved(state)
  if (isCanaryUnserved(plan, state.unserved))
    return { isCanarys: true, reason: `the canary serves less than its weight, and ${reason}` }
  const { weight, unservedSince } = state
  if (unservedSince === undefined) return undefined
  if (weight > 0 && (observation.canaryDown === true || !observation.ready))
    return { isCanarys: true, reason: `the canary has no ready pod left, and ${reason}` }
  if (weight === 100) return { isCanarys: true, reason: `the canary has all the traffic, and ${reason}` }
  const isOutage = observation.stable.requests === 0 && observation.unserved.violations >= minOutage
  const isUndecided = weight > 0 && now - unservedSince < settleMs.longest && !isOutage
  return isUndecided ? undefined : { isCanarys: false, reason }
}

function describeUnserved({ unserved }: ActiveState): string {
  const { requests, violations } = unserved.counts
  return (
    `${violations} of ${requests} requests of users failed before they reached any version ` +
    "(no endpoint, no route, no connection or no room for one: Envoy's flags UH, NR, NC, UF, UO)"
  )
}

/** Where nobody can tell which version the requests were for, the canary is not to blame. */
function handleUnserved({ isCanarys, reason }: UnservedFault, { plan, state, now }: RuleInput): Next {
  return isCanarys ? endFailed(plan, state, reason, now) : giveUp(plan, state, reason, now)
}

// Waiting for pods, guard, counters and the first webhooks.

function waitToStart(state: WaitingState, { plan, observation, now }: RuleInput): Next {
  // Waiting does not help: the pod breaks a rule of the namespace.
  if (observation.unguarded === 'refused')
    return endFailed(plan, state, 'the API server refuses the pod of the guard Job', now)
  const obstacle = findObstacle(plan, state, observation)
  if (!obstacle) return advance(plan, state, now)
  const { what, key } = obstacle
  if (now - state.waitingSince < plan[key]) return stay(state)
  return endFailed(plan, state, `${what} within ${plan[key] / 1000} s (\`${key}\`)`, now)
}

type Obstacle = { what: string; key: 'progressDeadline' | 'confirmTimeout' }

function findObstacle(
  plan: CanaryConfig,
  state: WaitingState,
  { ready, gates, unguarded }: Observation,
): Obstacle | undefined {
  const key = 'progressDeadline'
  if (unguarded) return { what: 'the guard Job did not start', key }
  if (!ready) return { what: "the canary's pods did not become ready", key }
  if (state.countersMissingSince !== undefined) return { what: 'the counters of the sidecars could not be read', key }
  const gate = dueGates(plan, state).find((each) => each !== 'rollback')
  return gate && { what: `${gate} was not confirmed${quote(gates[gate])}`, key: 'confirmTimeout' }
}

const quote = (finding: Finding | undefined) => (finding ? ` (${finding.name}: ${finding.text})` : '')

const hasGate = ({ webhooks }: CanaryConfig, gate: Gate) => Object.values(webhooks).some(({ type }) => type === gate)

const isAwaiting = (plan: CanaryConfig, { passedGates }: { passedGates: Gate[] }, gate: Gate) =>
  hasGate(plan, gate) && !passedGates.includes(gate)

/** The webhooks whose answer matters now; the others need not be called. */
export function dueGates(plan: CanaryConfig, state: State): Gate[] {
  const first = (['confirm-rollout', 'pre-rollout'] as const).find((gate) => isAwaiting(plan, state, gate))
  return [
    ...(state.phase === 'waiting' && first ? [first] : []),
    ...(state.phase === 'confirming' ? (['confirm-promotion'] as const) : []),
    ...(hasGate(plan, 'rollback') ? (['rollback'] as const) : []),
  ]
}

// The counters cannot be read. No evidence is not good evidence, so nothing advances, and after the deadline the
// promotion ends.

function waitForCounters(since: number, { plan, state, now }: RuleInput): Next {
  if (now - since < plan.progressDeadline) return stay(state)
  const seconds = plan.progressDeadline / 1000
  return giveUp(
    plan,
    state,
    `the counters of the sidecars could not be read for ${seconds} s (\`progressDeadline\`)`,
    now,
  )
}

// The guard is gone, and its successor does not watch yet. If this run were lost now, nobody would return the traffic.

function waitForGuard(since: number, { plan, state, now }: RuleInput): Next {
  if (now - since < plan.progressDeadline) return stay(state)
  const seconds = plan.progressDeadline / 1000
  return giveUp(plan, state, `no guard has watched the promotion for ${seconds} s (\`progressDeadline\`)`, now)
}

/** Ends undecided, even with `onInconclusive: promote`, because the promotion cannot continue. */
function giveUp(plan: CanaryConfig, state: ActiveState, reason: string, now: number): Next {
  const outcome = plan.onInconclusive === 'hold' ? 'held' : 'inconclusive'
  return endUndecided(plan, endCurrentStep(state, outcome, now), reason)
}

// The requests are not split by the weight, so the step does not show what its weight says, and more weight would not
// either.

function findWrongShare({ state, observation }: RuleInput): string | undefined {
  if (state.phase !== 'watching' || !observation.share) return undefined
  const step = currentStep(state.steps)
  if (!step.watched.share) return undefined
  const observed = differsFromWeight(step.watched.share, step.weight, observation.share)
  return observed === undefined
    ? undefined
    : `${describeStage(step)}, the canary served ${percent(observed)} of the requests`
}

const percent = (value: number) => `${Number(value.toFixed(1))}%`

// The canary has all the traffic and misses its limit, but nobody can tell whether stable would keep it: an outage of a
// shared dependency looks the same. So the canary returns to the step before, where stable serves too, and continues
// from there.

const maxReturns = 3

function findSharedFailureAlone({ state, results }: RuleInput): CheckResult | undefined {
  return state.weight === 100 && !isAlone(state) ? findVerdict(results, 'shared') : undefined
}

function returnToCompare(_: CheckResult, { plan, state, now }: RuleInput): Next {
  const weight = lastSharedWeight(state)
  const missed = 1 + state.steps.filter(({ outcome }) => outcome === 'returned-to-compare').length
  if (missed > maxReturns) {
    const reason = `the limit was missed ${missed} times at weight 100, where stable has no traffic to compare with`
    return giveUp(plan, state, reason, now)
  }
  const stopped = endCurrentStep(state, 'returned-to-compare', now)
  const shifting: ShiftingState = {
    ...progressOf(stopped),
    phase: 'shifting',
    weight,
    stagesStarted: state.stagesStarted - 1,
    steps: [...stopped.steps, startStep('weight', weight, state.weight, now)],
    checks: closeComparison(state.checks),
  }
  return { state: shifting, actions: [{ kind: 'weight', weight }] }
}

/** The last weight at which stable served beside the canary; 0 when there was none. */
function lastSharedWeight({ steps, startWeight }: ActiveState): number {
  const shared = steps.findLast(({ kind, weight }) => kind === 'weight' && weight < 100)
  return shared?.weight ?? (startWeight < 100 ? startWeight : 0)
}

/** True if stable gets no traffic and never served beside the canary, as in a blue-green switch. */
const isAlone = (state: ActiveState) => state.weight === 100 && lastSharedWeight(state) === 0

function findVerdict(results: CheckResult[], wanted: CheckResult['verdict']): CheckResult | undefined {
  return results.find(({ verdict }) => verdict === wanted)
}

// A step counts once the traffic itself has moved: until its weight is likelier in force than the one before.

function waitForShift(state: ShiftingState, { plan, observation, now }: RuleInput): Next {
  const step = currentStep(state.steps)
  const shift = step.kind === 'weight' && step.from !== step.weight ? addToShift(step, observation) : undefined
  if (hasMoved(step, shift) || needsNoTraffic(plan, step, now)) {
    const steps = replaceCurrent(state.steps, startWatching(step, now))
    return stay({ ...state, phase: 'watching', steps })
  }
  if (now - step.shiftedAt < plan.progressDeadline)
    return stay({ ...state, steps: replaceCurrent(state.steps, { ...step, ...(shift ? { shift } : {}) }) })
  const seconds = plan.progressDeadline / 1000
  const reason = `${describeStage(step)}, ${servedTooLittle(step)} within ${seconds} s (\`progressDeadline\`)`
  return endInconclusive(plan, state, reason, now)
}

/** A request that reached no version may have been for a canary without endpoints. */
function addToShift({ shift, from, weight }: ShiftingStep, { canary, stable, unserved }: Observation): ShiftEvidence {
  return addShiftSample(shift, from, weight, canary.requests + (unserved?.violations ?? 0), stable.requests)
}

/**
 * `shift`: the evidence where the weight changes. Elsewhere the first request that can have come by the route tells.
 */
function hasMoved({ kind, canary, stable }: ShiftingStep, shift: ShiftEvidence | undefined): boolean {
  if (kind !== 'weight') return canary.requests > 0
  return shift ? hasShifted(shift) : canary.requests + stable.requests > 0
}

/** A service without traffic may pass when no step needs requests. */
function needsNoTraffic(plan: CanaryConfig, { canary, stable, shiftedAt }: ShiftingStep, now: number): boolean {
  return plan.checks.minRequests === 0 && canary.requests + stable.requests === 0 && now > shiftedAt
}

/** In the reason of a step that ended so. The controller looks up why. */
export const noRequestReached = 'no request reached the canary'

function servedTooLittle({ canary, stable }: ShiftingStep): string {
  if (canary.requests === 0) return noRequestReached
  const share = canary.requests / (canary.requests + stable.requests)
  return `the canary served only ${Number((100 * share).toFixed(2))}% of the requests`
}

// Watching a step until its time is over and all evidence is there.

function watchStep(state: WatchingState, turn: RuleInput): Next {
  const { plan, results, now } = turn
  const step = currentStep(state.steps)
  // No stage belongs to the weight at which the promotion started, and a canary may return to that to be compared.
  const { forMs } = stagesOf(plan)[state.stagesStarted - 1] ?? { forMs: plan.interval }
  const watchedMs = now - step.watched.since
  const isOver = watchedMs + countedShift(plan, step, forMs) + plan.pollInterval / 2 >= forMs
  const isEarly = plan.advance === 'early' && watchedMs >= plan.minInterval && results.every(isPassed)
  if (!isOver && !isEarly) return stay(state)
  const doubt = findDoubt(state, turn)
  if (doubt === undefined) return advance(plan, endCurrentStep(state, 'passed', now), now)
  if (watchedMs < forMs + plan.progressDeadline) return stay(state)
  const reason = `${describeStage(step)}, watched for ${Math.round(watchedMs / 1000)} s, ${doubt()}`
  return endInconclusive(plan, state, reason, now)
}

/**
 * The part of the shift that counts as watched, in milliseconds: the requests of a usual shift, which takes two polls,
 * are evidence already. At most a quarter of the step, so that a short one is watched, too.
 */
function countedShift({ pollInterval }: CanaryConfig, { shiftedAt, watched }: WatchingStep, forMs: number): number {
  return Math.min(watched.since - shiftedAt, 2 * pollInterval, forMs / 4)
}

const isPassed = ({ verdict }: CheckResult) => verdict === 'pass'

/** Why the step does not pass although no check failed, in words when they are needed. */
function findDoubt(state: WatchingState, { plan, results, observation }: RuleInput): (() => string) | undefined {
  const { canary, watched } = currentStep(state.steps)
  const { minRequests } = plan.checks
  if (canary.requests < minRequests)
    return () =>
      `the canary served ${shownCount(canary.requests)} requests, ` +
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
  if (observation.canaryDown) return () => 'no ready pod of the canary is behind the Service'
  const needsProof = needsCertificate(plan, state)
  const isLast = state.stagesStarted === stagesOf(plan).length
  const cold = isLast || needsProof ? findColdCanary(plan, state) : undefined
  if (cold !== undefined) return () => cold
  const uncertified = needsProof && results.find((result) => !isPassed(result))
  return uncertified ? () => describeMissing(plan, state.checks, uncertified) : undefined
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

/** Nothing counts requests, as at a TCP service, and the plan says that queries, commands and webhooks decide alone. */
function isWithoutRequests({ checks: { minRequests } }: CanaryConfig, { canary, stable }: BetweenSteps | State) {
  return minRequests === 0 && canary.requests + stable.requests === 0
}

/** The names of the queries, commands and webhooks that have to pass in every step. */
function checksThatAnswer({ checks: { queries, commands }, webhooks }: CanaryConfig): string[] {
  return [
    ...Object.keys(queries),
    ...Object.keys(commands),
    ...Object.entries(webhooks).flatMap(([name, { type }]) => (type === 'rollout' ? [name] : [])),
  ]
}

// A webhook may have to confirm the promotion before the last step.

function waitForConfirmation(state: ConfirmingState, { plan, results, observation: { gates }, now }: RuleInput): Next {
  const isConfirmed = !isAwaiting(plan, state, 'confirm-promotion')
  const revoked = findRevoked(state, results)
  if (isConfirmed && !revoked) return advance(plan, state, now)
  if (now - state.confirmingSince < plan.confirmTimeout) return stay(state)
  if (isConfirmed) return endInconclusive(plan, state, describeMissing(plan, state.checks, revoked!), now)
  const said = quote(gates['confirm-promotion'])
  const reason = `the promotion was not confirmed${said} within ${plan.confirmTimeout / 1000} s (\`confirmTimeout\`)`
  return endFailed(plan, state, reason, now)
}

/** A check that had passed when the wait began, and does not any more: the canary serves on meanwhile. */
function findRevoked({ steps }: ConfirmingState, results: CheckResult[]): CheckResult | undefined {
  const hadPassed = steps.at(-1)?.outcome === 'passed' && steps.some(({ kind }) => kind !== 'ab')
  return hadPassed ? results.find((result) => !isPassed(result)) : undefined
}

// Advancing.

/** Starts the next stage, asks for confirmation before the last one, or ends after it. */
function advance(plan: CanaryConfig, state: BetweenSteps, now: number): Next {
  const stages = stagesOf(plan)
  const stage = stages[state.stagesStarted]
  if (!stage) return finish(plan, state)
  const isLast = state.stagesStarted === stages.length - 1 && stage.kind === 'weight' && plan.until === undefined
  if (isLast && isAwaiting(plan, state, 'confirm-promotion'))
    return stay({ ...progressOf(state), phase: 'confirming', confirmingSince: now, steps: state.steps })
  const weight = stage.kind === 'weight' ? stage.weight : state.weight
  const stepWeight = stage.kind === 'mirror' ? stage.percent : weight
  const shifting: ShiftingState = {
    ...progressOf(state),
    phase: 'shifting',
    weight,
    stagesStarted: state.stagesStarted + 1,
    steps: [...state.steps, startStep(stage.kind, stepWeight, state.weight, now)],
    checks: state.steps.length === 0 ? state.checks : closeComparison(state.checks),
  }
  return { state: shifting, actions: [...clearActions(state.steps.at(-1)), stageAction(stage)] }
}

/** A step has too little evidence: the promotion continues or ends, as `onInconclusive` says. */
function endInconclusive(plan: CanaryConfig, state: ActiveState, reason: string, now: number): Next {
  const stopped = endCurrentStep(state, 'inconclusive', now)
  return plan.onInconclusive === 'promote' ? advance(plan, stopped, now) : endUndecided(plan, stopped, reason)
}

/** After the last stage. */
function finish(plan: CanaryConfig, state: BetweenSteps): Next {
  const passed = describePassed(plan, state)
  if (state.weight === 100) return end(state, { verdict: 'promoted', reason: passed })
  const until =
    plan.until === undefined
      ? `the steps end at ${state.weight}`
      : `the plan stops at ${plan.until} for now (\`until\`)`
  return end(state, { verdict: 'held', reason: `${passed}, and ${until}`, asPlanned: true })
}

function describePassed(plan: CanaryConfig, state: BetweenSteps): string {
  const { steps } = state
  const doubtful = steps.filter(({ outcome }) => outcome === 'inconclusive').map((step) => step.weight)
  if (steps.length === 0) return 'the canary already has the weight of its last step'
  if (doubtful.length === 0)
    return isWithoutRequests(plan, state)
      ? 'every step passed its checks, which counted no request (`checks.minRequests: 0`)'
      : 'every step passed its checks'
  return (
    `no check failed; the steps at ${doubtful.join(', ')} had too little evidence ` +
    'and passed because of `onInconclusive: promote`'
  )
}
