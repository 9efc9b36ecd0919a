// What the mesh did for the users: retries, timeouts, ejections and refusals, from the counters of the callers' sidecars. Pure.
import { isCallTo } from '../../canary/metrics/request-outcomes.ts'
import { labelsOf, type MetricNames, type Reading } from '../../envoy/counters.ts'
import { clusterSum, type ClusterCounter } from '../../verify/proxy-counters.ts'
import type { Pod } from '../../cluster/objects.ts'
import { addMeshCounts, noMeshCounts, type MeshCount, type MeshCounts } from '../state/mesh-counts.ts'

/** A pod whose sidecar was read: all of its counters, and what they gained. */
export type CallerReading = { pod: Pod; reading: Reading; delta: Reading }
export type CalledService = { service: string; host: string }

/** Sums over the services that a fault concerns, each of them once. */
export function countMeshWork(callers: CallerReading[], names: MetricNames, services: CalledService[]): MeshCounts {
  return services.map((service) => countForService(callers, names, service)).reduce(addMeshCounts, noMeshCounts)
}

function countForService(callers: CallerReading[], names: MetricNames, target: CalledService): MeshCounts {
  // A call that is still waiting has been retried already, and ejections come between calls.
  const calling = callers.filter(({ reading }) => hasCalls(reading, names, target.host))
  const counted = (...counters: ClusterCounter[]) => sumOf(calling, target, counters)
  const flagged = (flag: string) => flaggedCalls(calling, names, target.host, flag)
  return {
    retries: counted('upstream_rq_retry'),
    retrySuccesses: counted('upstream_rq_retry_success'),
    timeouts: atLeast(counted('upstream_rq_timeout', 'upstream_rq_per_try_timeout'), flagged('UT')),
    ejections: counted('outlier_detection_ejections_enforced_total'),
    overflows: atLeast(counted('upstream_rq_pending_overflow'), flagged('UO')),
  }
}

function hasCalls(reading: Reading, { requests }: MetricNames, host: string): boolean {
  return [...reading].some(
    ([series, count]) => count > 0 && series.startsWith(`${requests}{`) && isCallTo([host], labelsOf(series)),
  )
}

/** A sidecar publishes Envoy's own counters only if it is told to. */
function sumOf(calling: CallerReading[], target: CalledService, counters: ClusterCounter[]): MeshCount {
  const sums = counters.flatMap((counter) => calling.map((caller) => clusterSum([caller], target, counter)))
  return {
    count: sums.reduce<number>((total, each) => total + (each ?? 0), 0),
    isComplete: sums.every((each) => each !== undefined),
    isPublished: sums.some((each) => each !== undefined),
  }
}

/** The flag of a request tells only of its last try. */
function atLeast(counted: MeshCount, seen: number): MeshCount {
  return counted.isComplete ? counted : { ...counted, count: Math.max(counted.count, seen) }
}

function flaggedCalls(calling: CallerReading[], { requests }: MetricNames, host: string, flag: string): number {
  let total = 0
  for (const { delta } of calling)
    for (const [series, count] of delta) {
      if (!series.startsWith(`${requests}{`) || !isCallTo([host], labelsOf(series))) continue
      if ((labelsOf(series)['response_flags'] ?? '').split(',').includes(flag)) total += count
    }
  return total
}
