// The verdict at the end of the fault: what the users got, and what the mesh did. Pure.
import type { ExperimentConfig } from '../../config/schema.ts'
import { whyNotActingThroughout } from './coverage.ts'
import { userChecks, usersNotCounted, type UserCheck } from './evidence.ts'
import { compareCounts } from './mesh-counts.ts'
import { shareOfSteadyRate } from './rate.ts'
import type { Outcome, State } from './types.ts'

/** `endedAt`: when the fault had acted. */
export function judge(experiment: ExperimentConfig, state: State, endedAt: number): Outcome {
  const { evidence, acting, mesh, coverage } = state
  const checks = userChecks(experiment, evidence, acting)
  const { missed, notPublished } = compareCounts(experiment.expect, mesh)
  const failed = checks.filter(({ result }) => result === 'fail')
  const absent = whyNotActingThroughout(experiment, coverage)
  // Users who fail are a fact. What the mesh did not do says nothing if the fault did not act.
  if (absent !== undefined && failed.length === 0) return { verdict: 'inconclusive', reason: absent }
  if (failed.length > 0 || missed.length > 0)
    return { verdict: 'fragile', reason: [...failed.map(describe), ...missed].join('; ') }
  const waiting = usersWaiting(state, endedAt)
  if (waiting !== undefined) return { verdict: 'inconclusive', reason: waiting }
  const undecided = checks.filter(({ result }) => result === 'undecided')
  if (undecided.length > 0 || notPublished.length > 0)
    return { verdict: 'inconclusive', reason: [...undecided.map(describeUndecided), ...notPublished].join('; ') }
  const others = usersNotCounted(acting)
  if (others !== undefined) return { verdict: 'inconclusive', reason: others }
  return { verdict: 'resilient', reason: checks.map(describe).join('; ') }
}

/** Users who wait for an answer before they ask again ask less often beside a slow fault, and a busy mesh counts late. */
const leastAnswered = 0.25

/** A sidecar counts a request when it ends, so a user who hangs is not counted. */
function usersWaiting(state: State, endedAt: number): string | undefined {
  const share = shareOfSteadyRate(state, state.acting.requests, endedAt - (state.coverage.since ?? endedAt))
  if (share >= leastAnswered) return undefined
  return (
    `users got answers at ${Math.round(100 * share)}% of their rate before; the others may still wait; set a \`timeout\` ` +
    'shorter than `duration`, or see why they stay away'
  )
}

function describe({ check, counts: { requests, violations }, limit }: UserCheck): string {
  const what = check === 'p99' ? 'were too slow' : 'failed'
  return `${violations} of ${requests} requests of users ${what} (${percent(limit)} allowed)`
}

function describeUndecided(check: UserCheck): string {
  const { missing } = check
  const remedy =
    missing > 0
      ? `about ${missing} more requests without a violation would decide; make \`duration\` longer`
      : 'too few to decide; make `duration` longer'
  return `${describe(check)}: ${remedy}`
}

const percent = (share: number) => `${Math.round(share * 10_000) / 100}%`
