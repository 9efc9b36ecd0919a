// The steps that a promotion has taken: each starts, counts what is served in it, and ends. Pure.
import { addRequests, noRequests, type RequestCounts } from '../analysis/request-counts.ts'
import type { EndedStep, Progress, ShiftingStep, State, Step, StepOutcome, StepsUpTo, WatchingStep } from './types.ts'

/** `kind`, `weight` and `from`: see Step; `now`: milliseconds since the epoch. */
export function startStep(kind: Step['kind'], weight: number, from: number, now: number): ShiftingStep {
  return { kind, weight, from, shiftedAt: now, canary: noRequests, stable: noRequests, outcome: 'shifting' }
}

/** The step under way. */
export function currentStep<Current extends Step>(steps: StepsUpTo<Current>): Current {
  return steps[steps.length - 1] as Current
}

/** The same steps with another current one. */
export function replaceCurrent<Current extends Step>(steps: Step[], current: Current): StepsUpTo<Current> {
  return [...(steps.slice(0, -1) as EndedStep[]), current]
}

/**
 * The routes have the traffic of the step only now: the write waited for pods or for the API server, or the weights of
 * somebody else were replaced.
 */
export function setShiftTime<S extends State>(state: S, now: number): S {
  if (state.phase !== 'shifting' && state.phase !== 'watching') return state
  const step = currentStep<ShiftingStep | WatchingStep>(state.steps)
  return { ...state, steps: replaceCurrent(state.steps, { ...step, shiftedAt: now }) }
}

/** From now on the requests count as those of the new traffic. */
export function startWatching({ shift, ...step }: ShiftingStep, now: number): WatchingStep {
  return { ...step, outcome: 'watching', watched: { since: now, canary: 0, stable: 0 } }
}

/** Ends a step that is under way; an ended one stays as it is. */
export function endStep(step: Step, outcome: StepOutcome, endedAt: number): EndedStep {
  switch (step.outcome) {
    case 'shifting': {
      const { shift, ...rest } = step
      return { ...rest, outcome, endedAt }
    }
    case 'watching':
      return { ...step, outcome, endedAt }
    default:
      return step
  }
}

/** What every phase knows, with all steps ended. */
export type BetweenSteps = Progress & { steps: EndedStep[] }

export function endCurrentStep(state: State, outcome: StepOutcome, now: number): BetweenSteps {
  return { ...progressOf(state), steps: state.steps.map((step) => endStep(step, outcome, now)) }
}

/** Adds a sample to the last step. One that has passed counts on while the promotion waits for its confirmation. */
export function countInLastStep<S extends State>(state: S, canary: RequestCounts, stable: RequestCounts): S {
  const last = state.steps.length - 1
  return mapSteps(state, (step, i) => (i === last ? countInStep(step, canary, stable) : step))
}

function countInStep<S extends Step>(step: S, canary: RequestCounts, stable: RequestCounts): S {
  const counted = { ...step, canary: addRequests(step.canary, canary), stable: addRequests(step.stable, stable) }
  if (!('watched' in step)) return counted
  const { canary: atCanary, stable: atStable } = step.watched
  return {
    ...counted,
    watched: { ...step.watched, canary: atCanary + canary.requests, stable: atStable + stable.requests },
  }
}

/** The canary's weight in its last step, in per cent: while a rollback is not written, it is still in force. */
export function weightBeforeEnd({ steps, startWeight }: State): number {
  return steps.findLast(({ kind }) => kind === 'weight')?.weight ?? startWeight
}

/** The state with each step changed to another of the same kind. */
export function mapSteps<S extends State>(state: S, change: <Each extends Step>(step: Each, index: number) => Each): S {
  return { ...state, steps: state.steps.map((step, i) => change(step, i)) }
}

/** How long earlier runs have watched a stage, by default the current one, in milliseconds, and the canary's requests then. */
export function watchedBefore({ watchedBefore, stagesStarted }: Progress, stage = stagesStarted) {
  if (watchedBefore?.stage !== stage) return { ms: 0, canary: 0 }
  const { ms, canary = 0 } = watchedBefore
  return { ms, canary }
}

/** The state of a promotion whose canary nobody has kept at its weight since: a bake time that is interrupted starts anew. */
export function withoutWatchedTime<S extends State>(state: S): S {
  const { watchedBefore: _, ...rest } = state
  return rest as S
}

/** Only what every phase knows: for the next phase to add its own. */
export function progressOf(state: BetweenSteps | State): Progress {
  const { startedAt, startWeight, foundWeight, passedWeight, weight, stagesStarted, checks, stableTotal } = state
  const { canary, stable, users, warmUp, unserved, findings, passedGates, firstTrafficAt, takeovers } = state
  const { watchedBefore } = state
  return {
    startedAt,
    startWeight,
    foundWeight,
    passedWeight,
    weight,
    stagesStarted,
    checks,
    stableTotal,
    canary,
    stable,
    users,
    warmUp,
    unserved,
    findings,
    passedGates,
    ...(firstTrafficAt === undefined ? {} : { firstTrafficAt }),
    ...(watchedBefore === undefined ? {} : { watchedBefore }),
    takeovers,
  }
}

/**
 * Requests per second that the canary served at the weight of its last step, by all steps: the last one may have ended
 * before its first request. Undefined if none has lasted for a moment.
 */
export function canaryRate({ steps }: Pick<State, 'steps'>, now: number): number | undefined {
  const last = steps.at(-1)
  if (!last) return undefined
  const isByHeader = ({ kind }: Step) => kind === 'ab'
  // Requests that match a header are no share of all.
  const shareOf = (step: Step) => (isByHeader(step) ? 1 : step.weight / 100)
  let [requests, fullSeconds] = [0, 0]
  for (const step of steps.filter((each) => isByHeader(each) === isByHeader(last))) {
    const endedAt = 'endedAt' in step ? step.endedAt : now
    requests += step.canary.requests
    fullSeconds += (shareOf(step) * (endedAt - step.shiftedAt)) / 1_000
  }
  return fullSeconds > 0 ? (shareOf(last) * requests) / fullSeconds : undefined
}
