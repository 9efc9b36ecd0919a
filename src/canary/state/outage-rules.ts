// Rules for what no check of a version sees: stable is down, requests reach no version, or nobody counts or guards.
import { isCanaryUnserved } from '../analysis/unserved.ts'
import { giveUp } from './advance.ts'
import { settleMs } from './count-sample.ts'
import { endFailed } from './ending.ts'
import { stay, type RuleInput } from './rule.ts'
import type { ActiveState, Next } from './types.ts'

// Stable has no endpoint, so its share of the requests fails, and so would all requests after a rollback.

export function findStableOutage({ plan: { stable, service }, observation }: RuleInput): string | undefined {
  if (!observation.stableDown) return undefined
  return stable.by === 'service'
    ? `no ready pod is behind the Service ${stable.name}, which serves beside the canary`
    : `no ready pod of ${stable.name}, which serves beside the canary, is behind the Service ${service}`
}

/** Before the first stage it may still become ready; afterwards users have errors already. */
export function handleStableOutage(outage: string, { plan, state, now }: RuleInput): Next {
  const reason = `${outage}; scale it up, or repair its pods`
  if (state.phase !== 'waiting') return giveUp(plan, state, reason, now)
  if (now - state.waitingSince < plan.progressDeadline) return stay(state)
  return giveUp(plan, state, `after ${plan.progressDeadline / 1000} s (\`progressDeadline\`) ${reason}`, now)
}

// Users' requests fail before they reach a version, which no check of a version sees.

type UnservedFault = { blamesCanary: boolean; reason: string }

/** If a sample without an answer of stable has so many lost requests, they are not the canary's alone. */
const minOutage = 3

/** Undefined also while the share of the canary may still show whose failures they are. */
export function findUnserved({ plan, state, observation, now }: RuleInput): UnservedFault | undefined {
  if (state.phase === 'waiting' || !observation.unserved?.violations) return undefined
  const reason = describeUnserved(state)
  if (isCanaryUnserved(plan, state.unserved))
    return { blamesCanary: true, reason: `the canary serves less than its weight, and ${reason}` }
  const { weight, unservedSince } = state
  if (unservedSince === undefined) return undefined
  if (weight > 0 && (observation.canaryDown === true || !observation.ready))
    return { blamesCanary: true, reason: `the canary has no ready pod left, and ${reason}` }
  if (weight === 100) return { blamesCanary: true, reason: `the canary has all the traffic, and ${reason}` }
  const isOutage = observation.stable.requests === 0 && observation.unserved.violations >= minOutage
  const isUndecided = weight > 0 && now - unservedSince < settleMs.longest && !isOutage
  return isUndecided ? undefined : { blamesCanary: false, reason }
}

export function describeUnserved({ unserved }: ActiveState): string {
  const { requests, violations } = unserved.counts
  return (
    `${violations} of ${requests} requests of users failed before they reached any version ` +
    "(no endpoint, no route, no connection or no room for one: Envoy's flags UH, NR, NC, UF, UO)"
  )
}

/** Where nobody can tell which version the requests were for, the canary is not to blame. */
export function handleUnserved({ blamesCanary, reason }: UnservedFault, { plan, state, now }: RuleInput): Next {
  return blamesCanary ? endFailed(plan, state, reason, now) : giveUp(plan, state, reason, now)
}

// The counters cannot be read. No evidence is not good evidence, so nothing advances, and after the deadline the
// promotion ends.

export function waitForCounters(since: number, { plan, state, now }: RuleInput): Next {
  if (now - since < plan.progressDeadline) return stay(state)
  const seconds = plan.progressDeadline / 1000
  return giveUp(
    plan,
    state,
    `the counters of the sidecars could not be read for ${seconds} s (\`progressDeadline\`)`,
    now,
  )
}

// Nobody can tell which requests failed. That lasts until somebody changes the mesh, so there is nothing to wait for.

export function endUnreadable(reason: string, { plan, state, now }: RuleInput): Next {
  return giveUp(plan, state, reason, now)
}

// The guard is gone, and its successor does not watch yet. If this run were lost now, nobody would return the traffic.

export function waitForGuard(since: number, { plan, state, now }: RuleInput): Next {
  if (now - since < plan.progressDeadline) return stay(state)
  const seconds = plan.progressDeadline / 1000
  const reason = `no guard has watched the promotion for ${seconds} s (\`progressDeadline\`)`
  return giveUp(plan, state, reason, now, { about: 'guard' })
}
