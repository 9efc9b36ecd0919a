// What people are shown of a promotion under way: in the terminal, and from its Lease. Pure.
import type { CheckResult } from '../analysis/check-results.ts'
import { shownCount, type Tally } from '../analysis/request-counts.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import { explainChecks } from './machine.ts'
import { msToWatch, stagesOf } from './stages.ts'
import type { Stage, State, Verdict } from './types.ts'

/**
 * `stage`: of so many `stages`, from 1; 0 before the first. `weight`: of the canary, in per cent. `msLeft`: how long the
 * promotion lasts at least. `served`: since it began.
 */
export type ProgressView = {
  service: string
  stable: string
  canary: string
  phase: State['phase']
  verdict?: Verdict
  stage: number
  stages: number
  kind?: Stage['kind']
  weight: number
  msLeft: number
  served: { canary: Tally; stable: Tally; users: Tally }
  checks: Pick<CheckResult, 'check' | 'failEvidence' | 'failThreshold' | 'passEvidence' | 'passThreshold' | 'verdict'>[]
}

export function progressView(plan: CanaryConfig, state: State, now: number): ProgressView {
  const { service, stable, canary } = plan
  const { phase, stagesStarted, weight, steps } = state
  const step = steps.at(-1)
  const tally = ({ requests, failures }: Tally) => ({ requests: shownCount(requests), failures: shownCount(failures) })
  return {
    service,
    stable: stable.name,
    canary: canary.name,
    phase,
    ...(state.phase === 'ended' ? { verdict: state.verdict } : {}),
    stage: stagesStarted,
    stages: stagesOf(plan).length,
    ...(step === undefined ? {} : { kind: step.kind }),
    weight,
    msLeft: msLeft(plan, state, now),
    served: { canary: tally(state.canary), stable: tally(state.stable), users: tally(state.users) },
    checks: explainChecks(plan, state).map(
      ({ check, failEvidence, failThreshold, passEvidence, passThreshold, verdict }) => ({
        ...{ check, verdict, failThreshold, passThreshold },
        failEvidence: Number(failEvidence.toPrecision(4)),
        passEvidence: Number(passEvidence.toPrecision(4)),
      }),
    ),
  }
}

/** The rest of the current stage, and all that follow, if nothing delays them. */
export function msLeft(plan: CanaryConfig, state: State, now: number): number {
  if (state.phase === 'ended') return 0
  const toWatch = stagesOf(plan).map(({ forMs }, i) => msToWatch(plan, state, i + 1, forMs))
  const ahead = toWatch.slice(state.stagesStarted).reduce((sum, ms) => sum + ms, 0)
  if (state.phase === 'waiting' || state.phase === 'confirming') return ahead
  const current = toWatch[state.stagesStarted - 1] ?? 0
  return ahead + Math.max(0, current - (now - state.steps.at(-1)!.shiftedAt))
}
