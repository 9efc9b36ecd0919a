// Does the canary's share of the requests differ from its weight? Pure: it knows counts, no clock.
//
// The null hypothesis is a share of at most 5 points above the weight (and, in a second test, at least 5 points below).
// Each request is a bet on a higher share p1 against that bound p0: it is worth p1/p0 if the canary served the request,
// else (1−p1)/(1−p0). The mean over several p1 is a mixture sequential probability ratio test (H. Robbins, Statistical
// methods related to the law of the iterated logarithm, 1970): the chance that it ever reaches 1/α is at most α, however
// few requests there are and however often it is checked (mixture.ts).
//
// A caller that retries sends one request several times to the same version, which would count a failing version too
// often. So the claim that a version serves too much counts only its answers that nobody retries, and everything that
// the other version served: never more than the first attempts show.
import { eValueOfSum } from './mixture.ts'
import { addOrigins, type RequestCounts } from './request-counts.ts'

/** Requests that a version served, and those among them that were not retried, because they did not fail. */
export type ServedShare = { all: number; answered: number }
export type ShareCounts = { canary: ServedShare; stable: ServedShare }

/** What may serve more than its weight, because routes beside the split send it requests on purpose. */
export type Pinned = { stable: boolean; canary: boolean }

export const noShare: ShareCounts = { canary: { all: 0, answered: 0 }, stable: { all: 0, answered: 0 } }

export function addShare(
  { canary, stable }: ShareCounts,
  ofCanary: RequestCounts,
  ofStable: RequestCounts,
): ShareCounts {
  return { canary: addServed(canary, ofCanary), stable: addServed(stable, ofStable) }
}

function addServed({ all, answered }: ServedShare, { requests, failures, abandoned }: RequestCounts): ServedShare {
  return { all: all + requests, answered: answered + Math.max(0, requests - failures - abandoned) }
}

/** How far the share may be from the weight, as a part of all requests. */
const shareTolerance = 0.05
/**
 * How many tries may be of callers without a sidecar, as a part of all. Above it, the share would be wrong by more than
 * its own tolerance at one end of the plan if these callers chose among both versions' pods at each request. They keep
 * their connections, though, so the share may look right for a while. Scrapers of the application's port stay below it.
 */
const toleratedWithoutSidecar = 0.2
/** Scrapers read many pods at once, so the first few requests say little. */
const fewestTries = 50
/** The chance of a wrong answer in a step, for each of both tests. */
const alpha = 0.001
/** The alternatives: how far their share is on the way from the bound to 1. */
const distances = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 0.99]

/**
 * The canary's share in per cent if it decisively differs from its weight (in per cent) by more than 5 points; undefined
 * if it does not, or if the requests do not show it yet.
 */
export function differsFromWeight(counts: ShareCounts, weight: number, pinned: Pinned): number | undefined {
  const { canary, stable } = counts
  const isHigh =
    !pinned.canary && evidenceAbove(weight / 100 + shareTolerance, canary.answered, stable.all) >= 2 / alpha
  const isLow =
    !pinned.stable && evidenceAbove(1 - weight / 100 + shareTolerance, stable.answered, canary.all) >= 2 / alpha
  return isHigh || isLow ? (100 * canary.all) / (canary.all + stable.all) : undefined
}

/**
 * The part of all tries, 0 to 1, that came from callers without a sidecar, if it is decisively above 20 %; undefined if
 * it is not, or if the requests do not show it yet.
 */
export function shareWithoutSidecar(canary: RequestCounts, stable: RequestCounts): number | undefined {
  const { tries, withoutSidecar } = addOrigins(canary.origins, stable.origins)
  if (tries < fewestTries || withoutSidecar === 0) return undefined
  const isHigh = evidenceAbove(toleratedWithoutSidecar, withoutSidecar, tries - withoutSidecar) >= 1 / alpha
  return isHigh ? withoutSidecar / tries : undefined
}

/** The evidence that the share of `own` among all requests is above the bound. */
function evidenceAbove(bound: number, own: number, other: number): number {
  if (bound >= 1) return 0
  const logRatios = distances.map((distance) => {
    const share = bound + distance * (1 - bound)
    return own * Math.log(share / bound) + other * Math.log((1 - share) / (1 - bound))
  })
  return eValueOfSum(logRatios)
}
