// Which of stable's latencies to compare with which of the canary's. Pure.
//
// A sidecar publishes its histograms every five seconds, each at its own moment. So what two sidecars publish in one
// sample was not served at the same time, and in most samples only one of them publishes. Samples are joined to
// windows in which both have published. A window of the canary is compared with stable's window before, the same one,
// and the one after: whatever slowed down both is in one of these, even if the canary published it first.
import {
  noRequests,
  countMaybeSlower,
  countSlower,
  addRequests,
  type LimitCounts,
  type RequestCounts,
} from './request-counts.ts'

/** How often a sidecar publishes its histograms: Envoy's stats_flush_interval. */
export const flushIntervalMs = 5_000

/** `samples`: how many are joined in it. */
export type Window = { samples: number; canary: RequestCounts; stable: RequestCounts }
/** The last one still grows; up to three before it are complete. */
export type Windows = Window[]

const empty: Window = { samples: 0, canary: noRequests, stable: noRequests }
/** At the start: nothing was served before, so the window before the first one is complete and empty. */
export const noWindows: Windows = [empty, empty]
/** After a change of weight: in its window the versions' shares differ before and after, so it is never compared. */
export const windowsAfterShift: Windows = [empty]

/**
 * Adds a sample. `pollIntervalMs`: the time between two samples. `complete`: with this sample three windows are
 * complete, and `compareWindows` may be called.
 */
export function addToWindows(
  windows: Windows,
  canary: RequestCounts,
  stable: RequestCounts,
  pollIntervalMs: number,
): { windows: Windows; complete: boolean } {
  const last = windows.at(-1) ?? empty
  const grown = {
    samples: last.samples + 1,
    canary: addRequests(last.canary, canary),
    stable: addRequests(last.stable, stable),
  }
  const havePublished = grown.canary.times.total > 0 && grown.stable.times.total > 0
  const closes = grown.samples * pollIntervalMs >= flushIntervalMs && havePublished
  const all = [...windows.slice(0, -1), grown, ...(closes ? [empty] : [])].slice(-4)
  return { windows: all, complete: closes && all.length === 4 }
}

/**
 * Requests slower than the limit in three complete windows. `canary`: in the middle window. `canaryAtMost`: there,
 * with those that may be slower, where its buckets have no edge at the limit. `stable`: the slow
 * requests of all three windows, which may have been served at the same time, among the requests of the newest window
 * only. So a slow request of stable counts up to three times, and a request once: in the canary's favour.
 * `stableSameWindow`: in the middle window alone, to certify that the canary is not slower.
 */
export function compareWindows(
  [before, same, after]: Windows,
  limitMs: number,
): Record<'canary' | 'canaryAtMost' | 'stable' | 'stableSameWindow', LimitCounts> {
  const [slowBefore, slowSame, slowAfter] = [before!, same!, after!].map(({ stable }) =>
    countSlower(stable.times, limitMs),
  ) as [LimitCounts, LimitCounts, LimitCounts]
  return {
    canary: countSlower(same!.canary.times, limitMs),
    canaryAtMost: countMaybeSlower(same!.canary.times, limitMs),
    stable: {
      requests: slowAfter.requests,
      violations: slowBefore.violations + slowSame.violations + slowAfter.violations,
    },
    stableSameWindow: slowSame,
  }
}
