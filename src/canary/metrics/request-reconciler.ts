// Counts each request once, although two sidecars saw it: when a caller's sidecar cuts a request off, the caller
// counts a failure and the server an abandoned request. Pure.
import type { RequestCounts } from '../analysis/request-counts.ts'
import type { CallerFailures } from './request-outcomes.ts'

/** Requests that only one side has counted so far: the two sides are read at different moments. */
export type Pending = { abandoned: number; cutOff: number }

export const nothingPending: Pending = { abandoned: 0, cutOff: 0 }

/**
 * Counts a request as failed if the caller's sidecar says so. A request without a counterpart on the other side waits
 * for one sample. After that, an abandoned request was abandoned by the user, and a cut-off request never reached the
 * server's counters and counts as one more failure. `served`: what the version's sidecars counted. `complete`: all of
 * those sidecars could be read.
 */
export function reconcile(
  pending: Pending,
  served: RequestCounts,
  { notReached, cutOff }: CallerFailures,
  complete: boolean,
): { pending: Pending; counts: RequestCounts } {
  const matched = Math.min(pending.abandoned + served.abandoned, pending.cutOff + cutOff)
  const abandoned = Math.max(0, pending.abandoned - matched)
  const overdue = complete ? Math.max(0, pending.cutOff - matched) : 0
  const failed = matched + notReached + overdue
  return {
    pending: {
      abandoned: pending.abandoned + served.abandoned - matched - abandoned,
      cutOff: pending.cutOff + cutOff - matched - overdue,
    },
    counts: {
      ...served,
      requests: served.requests - served.abandoned + failed + abandoned,
      failures: served.failures + failed,
      abandoned,
    },
  }
}
