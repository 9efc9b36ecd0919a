// Which of stable's times belong beside which of the canary's. Pure.
// A sidecar publishes its histograms every five seconds, at moments of its own. So what two of them publish in one tick was
// not served at the same time, and mostly only one of them publishes in a tick at all. Ticks are put together to windows in
// which both have published, and a window of the canary is held against stable's window before, the same, and the one
// after: whatever slowed both down, and the canary published first, is in them.
import { noRequests, countSlower, addRequests, type LimitCounts, type RequestCounts } from './request-counts.ts'

/** The sidecars' own period (stats_flush_interval of Envoy). */
const publishMs = 5_000

export type Window = { ticks: number; canary: RequestCounts; stable: RequestCounts }
/** The last is open; the three before it, as far as they are there, are complete. */
export type Windows = Window[]

const empty: Window = { ticks: 0, canary: noRequests, stable: noRequests }
/** Before the first window nothing was served. */
export const noWindows: Windows = [empty, empty]
/** Of a window in which the weight changed each version got another share before and after: none such is ever judged. */
export const windowsAfterShift: Windows = [empty]

/** `complete`: with this tick three windows came together that can be judged. */
export function addToWindows(
  windows: Windows,
  canary: RequestCounts,
  stable: RequestCounts,
  tickMs: number,
): { windows: Windows; complete: boolean } {
  const open = windows.at(-1)!
  const grown = {
    ticks: open.ticks + 1,
    canary: addRequests(open.canary, canary),
    stable: addRequests(open.stable, stable),
  }
  const closes = grown.ticks * tickMs >= publishMs && grown.canary.times.total > 0 && grown.stable.times.total > 0
  const all = [...windows.slice(0, -1), grown, ...(closes ? [empty] : [])].slice(-4)
  return { windows: all, complete: closes && all.length === 4 }
}

/**
 * Slower than the limit, of three complete windows: the canary's of the middle one, and of stable's all that can have been served
 * at the same time among the requests of one window, the newest. So each of stable's requests counts once as a request, and its
 * being slow up to three times: to the canary's advantage. `even`: stable's of the middle window alone, for what is to be certified.
 */
export function compareWindows(
  [before, same, after]: Windows,
  limitMs: number,
): { canary: LimitCounts; stable: LimitCounts; even: LimitCounts } {
  const stable = [before!, same!, after!].map((window) => countSlower(window.stable.times, limitMs))
  return {
    canary: countSlower(same!.canary.times, limitMs),
    stable: { requests: stable[2]!.requests, violations: stable.reduce((sum, { violations }) => sum + violations, 0) },
    even: stable[1]!,
  }
}
