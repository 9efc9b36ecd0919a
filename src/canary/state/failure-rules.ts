// Rules that return the traffic to stable: a webhook asks, the canary failed, or others move traffic.
import type { CanaryConfig } from '../../config/schema.ts'
import { describeCheck } from '../analysis/check-sentences.ts'
import { closeComparison } from '../analysis/checks.ts'
import { endFailed, endOnStable } from './ending.ts'
import type { Finding } from './finding.ts'
import { findVerdict, type RuleInput } from './rule.ts'
import { currentStep, replaceCurrent } from './steps.ts'
import type { Action, ActiveState, EndedState, Next, State, WatchingState } from './types.ts'

// A webhook asks for a rollback.

export function findRollbackRequest({ observation: { gates } }: RuleInput): Finding | undefined {
  return gates.rollback?.state === 'pass' ? gates.rollback : undefined
}

export function rollBackOnRequest({ name }: Finding, { state, now }: RuleInput): Next {
  return endOnStable(state, 'rolled-back', `the webhook ${name} requested a rollback`, now)
}

// The canary failed.

/** The first reason why the canary failed, in words. */
export function findFailure({ plan, state, results, observation: { fault } }: RuleInput): string | undefined {
  if (fault !== undefined || state.phase === 'waiting') return fault
  const result = findVerdict(results, 'fail')
  if (result) return describeCheck(plan, state.checks, result)
  const since = state.steps[0]?.shiftedAt ?? Infinity
  const finding = Object.values(state.findings).find((each) => each.state === 'fail' && each.at >= since)
  return finding && `${finding.name}: ${finding.text}`
}

// Someone else changed the traffic, so what is observed from now on is not what the plan asked for.

const maxTakeovers = 3

export function handleDrift(drift: string, { plan, state, now }: RuleInput): Next {
  if (plan.onDrift === 'take-over' && state.takeovers < maxTakeovers && state.phase !== 'waiting') {
    const current = state.phase === 'watching' ? withoutShare(state) : state
    const taken = { ...current, takeovers: state.takeovers + 1, checks: closeComparison(state.checks) }
    return { state: taken, actions: [{ kind: 'weight', weight: state.weight }, ...routeActions(state)] }
  }
  return endFailed(plan, state, reasonOf(drift, state), now)
}

/** The same for a canary that is promoted, while it waits for others. */
export function handleDriftOfPromoted(
  drift: string,
  plan: CanaryConfig,
  state: EndedState,
  now: number,
): Next<EndedState> {
  if (plan.onDrift !== 'take-over' || state.takeovers >= maxTakeovers)
    return endFailed(plan, state, reasonOf(drift, state), now)
  const { weight, takeovers } = state
  return { state: { ...state, takeovers: takeovers + 1 }, actions: [{ kind: 'weight', weight }] }
}

function reasonOf(drift: string, { takeovers }: State): string {
  const often = takeovers > 0 ? `, though its weights were written again ${takeovers} times` : ''
  return `${drift}${often}; let only one of the two write the weights (\`onDrift\`, docs/gitops.md)`
}

/** The requests until now followed the weights of somebody else. */
function withoutShare(state: WatchingState): WatchingState {
  const step = currentStep(state.steps)
  const { share: _, requestsWhileLagging, ...watched } = step.watched
  return { ...state, steps: replaceCurrent(state.steps, { ...step, watched }) }
}

/** What the last step asks of the routes beside a weight. */
function routeActions({ steps }: ActiveState): Action[] {
  const step = steps.at(-1)
  if (step?.kind === 'mirror') return [{ kind: 'mirror', percent: step.weight }]
  return step?.kind === 'ab' ? [{ kind: 'ab' }] : []
}
