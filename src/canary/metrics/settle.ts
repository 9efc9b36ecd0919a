// A request that the caller's sidecar cut off is seen twice: as failed by the caller, as given up by who served it. Pure.
import type { RequestCounts } from '../analysis/request-counts.ts'
import type { CallerFailures } from './counters.ts'

/** What one side counted and the other side not yet: the two are read at different moments. */
export type Pending = { abandoned: number; cut: number }

export const nothingPending: Pending = { abandoned: 0, cut: 0 }

/**
 * Counts each request once, as a failure where the caller's sidecar calls it one. What has no counterpart waits for one look:
 * then the given up were the user's own doing, and the cut off never came to the counters of who served them.
 * `whole`: the counters of who served could all be read.
 */
export function reconcile(
  pending: Pending,
  served: RequestCounts,
  { unseen, cut }: CallerFailures,
  whole: boolean,
): { pending: Pending; served: RequestCounts } {
  const matched = Math.min(pending.abandoned + served.abandoned, pending.cut + cut)
  const abandoned = Math.max(0, pending.abandoned - matched)
  const overdue = whole ? Math.max(0, pending.cut - matched) : 0
  const failed = matched + unseen + overdue
  return {
    pending: {
      abandoned: pending.abandoned + served.abandoned - matched - abandoned,
      cut: pending.cut + cut - matched - overdue,
    },
    served: {
      ...served,
      requests: served.requests - served.abandoned + failed + abandoned,
      failures: served.failures + failed,
      abandoned,
    },
  }
}
