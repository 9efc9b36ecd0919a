// What a group of pods served between two samples, as plain counts. Pure.

/**
 * A latency histogram: `within[edge]` of the `total` timed requests took at most `edge` milliseconds (cumulative,
 * like the buckets of Prometheus). Sidecars publish latencies later than counts, so `total` may differ from the
 * number of requests.
 */
export type Times = { readonly total: number; readonly within: Readonly<Record<string, number>> }

/** All tries that reached a version, and those of callers without a sidecar, to which no route and no weight applied. */
export type Origins = { readonly tries: number; readonly withoutSidecar: number }

/**
 * Requests of users: one for each call, however often it was tried. A part of a request is possible where only tries are
 * known: a failed one of at most four tries is a quarter.
 * `failures`: requests whose failure counts against the version that served them.
 * `abandoned`: requests whose caller went away before there was an answer.
 * `unanswered`: the failed and the abandoned tries, as parts of a request; some that a retry has hidden from the user.
 * Undefined where no more is known than `failures` and `abandoned`.
 * `origins`: see Origins; undefined where nobody knows.
 */
export type RequestCounts = {
  readonly requests: number
  readonly failures: number
  readonly abandoned: number
  readonly unanswered?: number
  readonly origins?: Origins
  readonly times: Times
}

/** Of those, what people are shown. */
export type Tally = Pick<RequestCounts, 'requests' | 'failures'>

export function addTallies(a: Tally, b: Tally): Tally {
  return { requests: a.requests + b.requests, failures: a.failures + b.failures }
}

/** Failed and abandoned, also those that a retry has hidden from the user. */
export function unansweredOf({ failures, abandoned, unanswered = failures + abandoned }: RequestCounts): number {
  return unanswered
}

/** A count for people, without the noise of many small parts. */
export function shownCount(count: number): number {
  return Math.round(100 * count) / 100
}

/** Requests, and how many of them violate the limit of a check. */
export type LimitCounts = { readonly requests: number; readonly violations: number }

export function addLimitCounts(a: LimitCounts, b: LimitCounts): LimitCounts {
  return { requests: a.requests + b.requests, violations: a.violations + b.violations }
}

export const noRequests: RequestCounts = { requests: 0, failures: 0, abandoned: 0, times: { total: 0, within: {} } }

/** The sum of both. */
export function addRequests(a: RequestCounts, b: RequestCounts): RequestCounts {
  if (b === noRequests) return a
  return {
    requests: a.requests + b.requests,
    failures: a.failures + b.failures,
    abandoned: a.abandoned + b.abandoned,
    ...(a.unanswered === undefined && b.unanswered === undefined
      ? {}
      : { unanswered: unansweredOf(a) + unansweredOf(b) }),
    ...(a.origins === undefined && b.origins === undefined ? {} : { origins: addOrigins(a.origins, b.origins) }),
    times: addTimes(a.times, b.times),
  }
}

const noOrigins: Origins = { tries: 0, withoutSidecar: 0 }

export function addOrigins(a = noOrigins, b = noOrigins): Origins {
  return { tries: a.tries + b.tries, withoutSidecar: a.withoutSidecar + b.withoutSidecar }
}

/** A bucket may be missing only on a side that timed nothing: all sidecars of a mesh have the same bucket edges. */
function addTimes(a: Times, b: Times): Times {
  if (a.total === 0) return { total: b.total, within: { ...a.within, ...b.within } }
  if (b.total === 0) return a
  const within: Record<string, number> = { ...a.within }
  for (const edge in b.within) within[edge] = (within[edge] ?? 0) + b.within[edge]!
  return { total: a.total + b.total, within }
}

const edgesOf = ({ within }: Times) =>
  Object.keys(within)
    .map(Number)
    .sort((a, b) => a - b)

/** The bucket edges next to a limit in milliseconds: the limit itself, or one on each side as far as there are. */
export function edgesAround(times: Times, limitMs: number): { below?: number | undefined; above?: number | undefined } {
  const edges = edgesOf(times)
  return { below: edges.findLast((each) => each <= limitMs), above: edges.find((each) => each >= limitMs) }
}

/**
 * Timed requests, and those that were slower than `limitMs`: above the first bucket edge that is not below the limit,
 * so that a request within the limit never counts as slow.
 */
export function countSlower(times: Times, limitMs: number): LimitCounts {
  const { above } = edgesAround(times, limitMs)
  return { requests: times.total, violations: above === undefined ? 0 : countAbove(times, above) }
}

/** As `countSlower`, but above the last edge within the limit, so that no request that is slower counts as good. */
export function countMaybeSlower(times: Times, limitMs: number): LimitCounts {
  const { below } = edgesAround(times, limitMs)
  return { requests: times.total, violations: below === undefined ? times.total : countAbove(times, below) }
}

function countAbove({ total, within }: Times, edge: number): number {
  return Math.max(0, total - within[String(edge)]!)
}

/**
 * The smallest bucket edge, in milliseconds, within which at least this share (0 to 1) of the timed requests was
 * answered.
 */
export function quantileEdge(times: Times, share: number): number | undefined {
  if (times.total === 0) return undefined
  return edgesOf(times).find((edge) => times.within[String(edge)]! >= share * times.total)
}
