// What a group of pods served between two looks, as plain counts. Pure.

/**
 * `within[edge]` of the `total` timed requests took at most `edge` milliseconds (cumulative, as Prometheus writes buckets).
 * Sidecars publish times later than counts, so `total` need not equal the number of requests.
 */
export type Times = { readonly total: number; readonly within: Readonly<Record<string, number>> }

/** `failures` count against whoever served; `abandoned` are those whose caller went away before there was an answer. */
export type RequestCounts = {
  readonly requests: number
  readonly failures: number
  readonly abandoned: number
  readonly times: Times
}

/** Requests, and those among them that count against the version. */
export type LimitCounts = { readonly requests: number; readonly violations: number }

export const noRequests: RequestCounts = { requests: 0, failures: 0, abandoned: 0, times: { total: 0, within: {} } }

/** Both together. */
export function addRequests(a: RequestCounts, b: RequestCounts): RequestCounts {
  return {
    requests: a.requests + b.requests,
    failures: a.failures + b.failures,
    abandoned: a.abandoned + b.abandoned,
    times: together(a.times, b.times),
  }
}

/** A bucket that one side lacks is empty there only when that side timed nothing: all sidecars of a mesh share their edges. */
function together(a: Times, b: Times): Times {
  if (a.total === 0 || b.total === 0)
    return a.total === 0 ? { total: b.total, within: { ...a.within, ...b.within } } : a
  const within: Record<string, number> = { ...a.within }
  for (const edge in b.within) within[edge] = (within[edge] ?? 0) + b.within[edge]!
  return { total: a.total + b.total, within }
}

const edgesOf = ({ within }: Times) =>
  Object.keys(within)
    .map(Number)
    .sort((a, b) => a - b)

/** Slow are those above the first edge that is not below the limit: a request that was within the limit is never called slow. */
export function countSlower(times: Times, limitMs: number): LimitCounts {
  const edge = edgesOf(times).find((each) => each >= limitMs)
  return {
    requests: times.total,
    violations: edge === undefined ? 0 : Math.max(0, times.total - times.within[String(edge)]!),
  }
}

/** The smallest edge within which at least this share (0–1) of the timed requests was answered; undefined without one. */
export function quantileEdge(times: Times, share: number): number | undefined {
  return times.total === 0
    ? undefined
    : edgesOf(times).find((edge) => times.within[String(edge)]! >= share * times.total)
}
