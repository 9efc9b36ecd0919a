// The log lines of a promotion: one for each sample, each check and each action. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import type { CheckResult } from '../analysis/check-results.ts'
import { evidenceText } from '../../statistics/evidence.ts'
import { shownCount, type Tally } from '../analysis/request-counts.ts'
import type { Action, Observation, State } from '../state/types.ts'

export function describeAction({ stable, canary }: CanaryConfig, action: Action): string {
  switch (action.kind) {
    case 'weight':
      return `weight: ${stable.name} ${100 - action.weight}, ${canary.name} ${action.weight}`
    case 'mirror':
      return `${canary.name} gets copies of ${action.percent}% of the requests`
    case 'ab':
      return `${canary.name} gets the requests that match`
    case 'clear':
      return `${canary.name} gets no copies and no matching requests any more`
  }
}

type Sampled = Pick<Observation, 'ready' | 'findings' | 'complete'> & { canary: Tally; stable: Tally; users: Tally }

/** The findings of checks that do not pass, one sentence each. */
export function openFindings(findings: Observation['findings']): string[] {
  return findings.filter(({ state }) => state !== 'pass').map(({ name, text }) => `${name}: ${text}`)
}

/** What a sample saw, or several. `msLeft`: how long the promotion lasts at least, if that is known. */
export function describeSample(state: State, sampled: Sampled, msLeft?: number): string {
  const { ready, canary, stable, users, findings, complete } = sampled
  if (state.phase === 'waiting' && !ready) return 'waiting for the canary to become ready'
  const part = (name: string, { requests, failures }: Tally) =>
    `${name} ${shownCount(requests)} requests, ${shownCount(failures)} failed`
  const parts = [
    part('canary', canary),
    part('stable', stable),
    part('users', users),
    ...(msLeft === undefined || msLeft === 0 ? [] : [`at least ${Math.ceil(msLeft / 1000)} s left`]),
    ...openFindings(findings),
    ...(complete ? [] : ['some counters could not be read']),
  ]
  return `${describeStage(state)}: ${parts.join(' · ')}`
}

function describeStage({ steps, weight }: State): string {
  const kind = steps.at(-1)?.kind
  if (kind === 'mirror') return 'mirrored'
  return kind === 'ab' ? 'matching' : `at weight ${weight}`
}

/** With `explain`, one line for each check once the promotion has traffic. */
export function evidenceLines({ explain }: CanaryConfig, { phase }: State, results: CheckResult[]): string[] {
  return explain && phase !== 'waiting' ? results.map(describeEvidence) : []
}

/** What a check has counted, its E values, and its verdict. */
function describeEvidence(result: CheckResult): string {
  const { check, canary, stable, failEvidence, failThreshold, passEvidence, passThreshold, verdict } = result
  const counts = `canary ${canary.violations}/${canary.requests}, stable ${stable.violations}/${stable.requests}`
  const evidence =
    `evidence to fail ${evidenceText(failEvidence, failThreshold)} of ${evidenceText(failThreshold)}, ` +
    `to pass ${evidenceText(passEvidence, passThreshold)} of ${evidenceText(passThreshold)}`
  return `  ${check}: ${counts}, ${evidence}: ${verdict}`
}
