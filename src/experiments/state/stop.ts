// When an experiment costs the users too much, and must end at once: decisively fewer succeed than `stopBelow`, either in
// the last seconds or since the injection. The last seconds alone show an outage that follows good minutes; all of the
// time shows one where users call seldom. Pure.
import { countFailures } from '../../canary/analysis/checks.ts'
import * as objective from '../../canary/analysis/objective.ts'
import { addLimitCounts, type LimitCounts, type RequestCounts } from '../../canary/analysis/request-counts.ts'
import type { ExperimentConfig } from '../../config/schema.ts'

type Limits = Pick<ExperimentConfig, 'expect' | 'stopBelow' | 'pollInterval' | 'duration' | 'confirmTimeout'>

/** `recent`: the samples of the last seconds; `at`: milliseconds. */
export type StopWatch = {
  whole: { counts: LimitCounts; test: objective.Objective }
  recent: { at: number; counts: LimitCounts }[]
}

const recentMs = 10_000
const none: LimitCounts = { requests: 0, violations: 0 }

export function createStopWatch({ stopBelow }: Limits): StopWatch {
  return { whole: { counts: none, test: objective.create(1 - stopBelow) }, recent: [] }
}

export function watchUsers({ whole, recent }: StopWatch, users: RequestCounts, now: number): StopWatch {
  const counts = countFailures(users)
  return {
    whole: { counts: addLimitCounts(whole.counts, counts), test: objective.add(whole.test, counts, false) },
    recent: [...recent.filter(({ at }) => now - at < recentMs), { at: now, counts }],
  }
}

/** The requests that show it, if the experiment must stop. */
export function mustStop(experiment: Limits, { whole, recent }: StopWatch): LimitCounts | undefined {
  const { expect, stopBelow, pollInterval, duration, confirmTimeout } = experiment
  const limit = 1 - stopBelow
  const fresh = recent.reduce((test, { counts }) => objective.add(test, counts, false), objective.create(limit))
  // Each look begins a test of its own, so each gets its part of the chance of a false verdict.
  const looks = Math.ceil((duration + confirmTimeout) / pollInterval)
  const tests = [
    { counts: recent.map(({ counts }) => counts).reduce(addLimitCounts, none), test: fresh, weight: looks },
    { ...whole, weight: 1 },
  ]
  return tests.find(
    ({ counts: { requests, violations }, test, weight }) =>
      requests > 0 &&
      violations / requests > limit &&
      objective.evidence(test).overLimit >= weight / expect.falseFragile,
  )?.counts
}
