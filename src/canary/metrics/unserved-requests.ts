// Counts the requests to a service that failed at the caller before they reached a version, from what the callers'
// counters gained. Pure.
import type { MetricNames, Reading, SeriesLabels } from '../../envoy/counters.ts'
import { hasReachedNoPod } from '../../envoy/response-flags.ts'
import { fullHost } from '../../policies/routes.ts'
import type { LimitCounts } from '../analysis/request-counts.ts'
import { requestsIn } from './request-outcomes.ts'
import type { VersionAttribution } from './version-attribution.ts'

/** All calls to the hosts, and those that failed before any version saw them. `caller`: the caller's namespace. */
export function countUnserved(
  deltas: Reading,
  names: MetricNames,
  hosts: string[],
  caller: string,
  { canary, stable }: VersionAttribution,
): LimitCounts {
  const total = { requests: 0, violations: 0 }
  for (const [labels, delta] of requestsIn(deltas, names)) {
    if (!isCallTo(hosts, labels, caller)) continue
    total.requests += delta
    if (hasReachedNoPod(labels['response_flags'] ?? '') && !canary(labels) && !stable(labels)) total.violations += delta
  }
  return total
}

/** Without a cluster, Istio's counters name the service as the request did: `backend:3001`. */
function isCallTo(hosts: string[], labels: SeriesLabels, caller: string): boolean {
  const { reporter, destination_service: service = '' } = labels
  return reporter === 'source' && service !== '' && hosts.includes(fullHost(service.replace(/:\d+$/, ''), caller))
}
