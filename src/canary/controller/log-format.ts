// What a promotion tells while it is under way: a line for each look, each check and each thing done. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import type { CheckResult } from '../analysis/checks.ts'
import type { Action, Observation, State } from '../state/machine.ts'
import type { RequestCounts } from '../analysis/request-counts.ts'

/** What is done, in words. */
export function describeAction({ stable, canary }: CanaryConfig, action: Action): string {
  if (action.kind === 'weight') return `weight: ${stable.name} ${100 - action.weight}, ${canary.name} ${action.weight}`
  if (action.kind === 'mirror') return `${canary.name} gets copies of ${action.percent}% of the requests`
  return action.kind === 'ab'
    ? `${canary.name} gets the requests that match`
    : `${canary.name} gets no copies and no matching requests any more`
}

/** What a look saw. */
export function describeSample(
  { phase, weight, steps }: State,
  { ready, canary, stable, users, findings, complete }: Observation,
): string {
  if (phase === 'waiting' && !ready) return 'waiting for the canary to become ready'
  const part = (name: string, { requests, failures }: RequestCounts) =>
    `${name} ${requests} requests, ${failures} failed`
  const kind = steps.at(-1)?.kind
  const where = kind === 'mirror' ? 'mirrored' : kind === 'ab' ? 'matching' : `at weight ${weight}`
  const others = findings
    .filter(({ state }) => state !== 'pass')
    .map(({ name, text }) => ` · ${name}: ${text}`)
    .join('')
  return `${where}: ${part('canary', canary)} · ${part('stable', stable)} · ${part('users', users)}${others}${complete ? '' : ' · some counters could not be read'}`
}

/** What a check has counted, how strong its evidence is, and what it says. */
export function describeEvidence({
  check,
  canary,
  stable,
  failEvidence,
  passEvidence,
  threshold,
  verdict,
}: CheckResult): string {
  const e = (value: number) =>
    value >= 1000 || (value > 0 && value < 0.01) ? value.toExponential(1) : value.toFixed(2)
  return `  ${check}: canary ${canary.violations}/${canary.requests}, stable ${stable.violations}/${stable.requests}, E ${e(failEvidence)} against and ${e(passEvidence)} for, of ${e(threshold)} needed: ${verdict}`
}
