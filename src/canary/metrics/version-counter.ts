// Counts the requests to each version once each, from its own sidecars and those of its callers.
import type { Pod } from '../../cluster/objects.ts'
import type { MetricNames, Reading } from '../../metrics/counters.ts'
import { addRequests, noRequests, type RequestCounts } from '../analysis/request-counts.ts'
import type { Role, VersionRole } from './pod-roles.ts'
import { addCallerFailures, countCallerFailures, countServed, noCallerFailures } from './request-outcomes.ts'
import { nothingPending, reconcile } from './request-reconciler.ts'
import type { VersionAttribution } from './version-attribution.ts'

/** A pod that answered: its counters, and how much they grew. */
export type PodReading = { pod: Pod; role: Role; reading: Reading; delta: Reading }

export type VersionCounter = (
  readings: PodReading[],
  attribution: VersionAttribution,
  complete: boolean,
) => Record<VersionRole, RequestCounts>

/** Keeps the requests that only one side has counted so far. `complete`: all sidecars of the canary could be read. */
export function createVersionCounter(metrics: MetricNames, hosts: string[]): VersionCounter {
  const pending = { canary: nothingPending, stable: nothingPending }
  return (readings, attribution, complete) => {
    const count = (version: VersionRole) => {
      const served = readings
        .filter(({ role }) => role === version)
        .map(({ delta }) => countServed(delta, metrics))
        .reduce(addRequests, noRequests)
      const callerFailures = readings
        .map(({ delta }) => countCallerFailures(delta, metrics, hosts, attribution[version]))
        .reduce(addCallerFailures, noCallerFailures)
      const result = reconcile(pending[version], served, callerFailures, complete)
      pending[version] = result.pending
      return result.counts
    }
    return { canary: count('canary'), stable: count('stable') }
  }
}
