// The verdict at the end of the fault: what the users got, and what the mesh did. Pure.
import type { ExperimentConfig } from '../../config/schema.ts'
import { whyNotActingThroughout } from './coverage.ts'
import { userChecks, usersNotCounted, type UserCheck } from './evidence.ts'
import { compareCounts } from './mesh-counts.ts'
import type { Outcome, State } from './types.ts'

export function judge(experiment: ExperimentConfig, { evidence, acting, mesh, coverage }: State): Outcome {
  const checks = userChecks(experiment, evidence, acting)
  const { missed, notPublished } = compareCounts(experiment.expect, mesh)
  const failed = checks.filter(({ result }) => result === 'fail')
  const absent = whyNotActingThroughout(experiment, coverage)
  // Users who fail are a fact. What the mesh did not do says nothing if the fault did not act.
  if (absent !== undefined && failed.length === 0) return { verdict: 'inconclusive', reason: absent }
  if (failed.length > 0 || missed.length > 0)
    return { verdict: 'fragile', reason: [...failed.map(describe), ...missed].join('; ') }
  const undecided = checks.filter(({ result }) => result === 'undecided')
  if (undecided.length > 0 || notPublished.length > 0)
    return { verdict: 'inconclusive', reason: [...undecided.map(describeUndecided), ...notPublished].join('; ') }
  const others = usersNotCounted(acting)
  if (others !== undefined) return { verdict: 'inconclusive', reason: others }
  return { verdict: 'resilient', reason: checks.map(describe).join('; ') }
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
