// Counts the requests of users to each version once each, from its own sidecars and those of its callers. The callers
// know what users got, the version's sidecars every try. A user's call may be tried several times, and its failures are
// then no independent evidence: decision 18.
import type { Pod } from '../../cluster/objects.ts'
import type { MetricNames, Reading, SeriesLabels } from '../../envoy/counters.ts'
import { addRequests, noRequests, unansweredOf, type RequestCounts } from '../analysis/request-counts.ts'
import { addCoverage, noCoverage, type FinalAnswers } from './caller-coverage.ts'
import type { Role, VersionRole } from './pod-roles.ts'
import {
  addCallerFailures,
  countAnswersGiven,
  countAnswersReceived,
  countCallerFailures,
  countCalls,
  countServed,
  noCallerFailures,
  scaleCallerFailures,
  type AnswerCounts,
} from './request-outcomes.ts'
import { nothingPending, reconcile } from './request-reconciler.ts'
import { mostTries, type RetryPolicy } from './retries.ts'
import type { VersionAttribution } from './version-attribution.ts'

/** A pod that answered: its counters, and how much they grew. */
export type PodReading = { pod: Pod; role: Role; reading: Reading; delta: Reading }

/**
 * `complete`: all sidecars of the canary could be read. `knowsCallers`: the counters of all known callers are of the same
 * moment. `readShare`: the part of a version's pods whose sidecars are read (`maxPods`).
 */
export type CounterSample = {
  readings: PodReading[]
  attribution: VersionAttribution
  retries: RetryPolicy[]
  complete: boolean
  knowsCallers: boolean
  readShare: Record<VersionRole, number>
}

/** `canaryTries`: what reached the canary, whoever sent it. */
export type VersionCounts = Record<VersionRole, RequestCounts> & { canaryTries: number }
export type VersionCounter = (sample: CounterSample) => VersionCounts

/** `tries`: as the version's sidecars counted. `calls`: as its callers did. `answers`: all that the version gave. */
type BothSides = { tries: RequestCounts; calls: RequestCounts; answers: FinalAnswers }

/**
 * Keeps the requests that only one side has counted so far, and whether the callers know all requests. That is decided by
 * the samples before: a choice by the sample itself would favor what it shows.
 */
export function createVersionCounter(metrics: MetricNames, hosts: string[]): VersionCounter {
  const pending = { canary: nothingPending, stable: nothingPending }
  let coverage = noCoverage
  let countsTries = false

  function count(version: VersionRole, sample: CounterSample): BothSides {
    const { readings, attribution, retries, complete, readShare } = sample
    const triesOf = (labels: SeriesLabels) => mostTries(retries, labels)
    const ofVersion = readings.filter(({ role }) => role === version)
    const served = ofVersion.map(({ delta }) => countServed(delta, metrics, triesOf)).reduce(addRequests, noRequests)
    const callerFailures = readings
      .map(({ delta }) => countCallerFailures(delta, metrics, hosts, attribution[version]))
      .reduce(addCallerFailures, noCallerFailures)
    const result = reconcile(
      pending[version],
      served,
      // Failures at all callers must not meet the requests of some pods only.
      scaleCallerFailures(callerFailures, readShare[version]),
      complete,
    )
    pending[version] = result.pending
    const calls = readings
      .map(({ delta }) => countCalls(delta, metrics, hosts, attribution[version]))
      .reduce(addRequests, noRequests)
    const given = ofVersion.map(({ delta }) => countAnswersGiven(delta, metrics, triesOf))
    const received = readings.map(({ delta }) =>
      countAnswersReceived(delta, metrics, hosts, attribution[version], triesOf),
    )
    return { tries: result.counts, calls, answers: bothSides(given, received, readShare[version]) }
  }

  return (sample) => {
    const [canary, stable] = [count('canary', sample), count('stable', sample)]
    const byCallers = coverage.isComplete && sample.knowsCallers
    coverage = addCoverage(coverage, { canary: canary.answers, stable: stable.answers })
    countsTries ||= canary.tries.requests > 0
    // A Telemetry may switch the counters of the canary's own sidecars off.
    const canaryTries = countsTries ? canary.tries.requests : canary.calls.requests
    if (!byCallers) return { canary: canary.tries, stable: stable.tries, canaryTries }
    const seesAllTries = sample.readShare.canary === 1 && sample.readShare.stable === 1
    return { canary: countUsers(canary, seesAllTries), stable: countUsers(stable, seesAllTries), canaryTries }
  }
}

/** `share`: the part of the version's pods that were read. */
function bothSides(given: AnswerCounts[], received: AnswerCounts[], share: number): FinalAnswers {
  const sum = (counts: AnswerCounts[], kind: keyof AnswerCounts) =>
    counts.reduce((total, each) => total + each[kind], 0)
  const answers = (kind: keyof AnswerCounts) => ({
    given: share > 0 ? sum(given, kind) / share : 0,
    received: sum(received, kind),
  })
  return { answered: answers('answered'), failed: answers('failed') }
}

/** What users got; the tries that failed, if all of them are known; and where all tries came from. */
function countUsers({ tries, calls }: BothSides, seesAllTries: boolean): RequestCounts {
  const { times, origins } = tries
  return {
    ...calls,
    times,
    ...(seesAllTries ? { unanswered: unansweredOf(tries) } : {}),
    ...(origins === undefined ? {} : { origins }),
  }
}
