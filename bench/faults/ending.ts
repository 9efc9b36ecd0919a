// Describes where the traffic ended after a fault, only from the responses that the user got. Pure.
import type { Line } from '../mesh/index.ts'

/**
 * `secondsToSafe`: until the last response of the version that ends without traffic; null if both versions have some.
 */
export type Ending = {
  endState: string
  secondsToSafe: number | null
  failedRequests: number
  safe: boolean
  why?: string
}

/**
 * `faultAt`: when the fault happened (ms since the epoch). `healthy`: the versions on which traffic may end.
 * `limitSeconds`: the time limit for that, if there is one. `verdict`: the run's verdict, if it could report one.
 */
export type FaultOutcome = {
  faultAt: number
  healthy: string[]
  limitSeconds?: number
  verdict?: string
  requestsPerSecond: number
}

/**
 * The last part of the log that counts as the end: long enough to contain responses of a version with a tenth of the
 * requests.
 */
export const endMs = 2_500
/** Share of failed requests that is tolerated at the end. */
const tolerated = 0.02

export function describeEnding(
  lines: Line[],
  { faultAt, healthy, limitSeconds, verdict, requestsPerSecond }: FaultOutcome,
): Ending {
  const lastTotals = lines.findLast((line) => line.last)
  if (!lastTotals || lastTotals.at - endMs < faultAt)
    throw new Error(
      'the user was not watched for long enough after the fault; see `kubectl -n sample-app logs deploy/user`',
    )
  const last = Object.entries(lastTotals.last!)
  const atEnd = last.filter(([, at]) => at > lastTotals.at - endMs).map(([version]) => version)
  const failures = lines.filter(({ at, status = 200 }) => at >= faultAt && status !== 200)
  const failedAtEnd = failures.filter(({ at }) => at > lastTotals.at - endMs).length
  const isFailing = failedAtEnd > (tolerated * requestsPerSecond * endMs) / 1000
  const left = last.flatMap(([version, at]) => (atEnd.includes(version) || at < faultAt ? [] : [(at - faultAt) / 1000]))
  const secondsToSafe = atEnd.length === 1 ? Math.max(0, ...left) : null
  const doubts = [
    ...(atEnd.length === 1 ? [] : [`${atEnd.join(' and ') || 'nobody'} responds at the end`]),
    ...atEnd
      .filter((version) => !healthy.includes(version))
      .map((version) => `${version} responds at the end, and is not healthy`),
    ...(isFailing ? [`${failedAtEnd} requests failed in the last ${endMs / 1000} s`] : []),
    ...(limitSeconds !== undefined && (secondsToSafe ?? 0) > limitSeconds
      ? [`it took more than ${limitSeconds} s`]
      : []),
    ...(verdict !== undefined && (verdict === 'promoted') !== (atEnd.join() === 'v2')
      ? [`the run says ${verdict}`]
      : []),
  ]
  return {
    endState: atEnd.join(' + ') || 'nobody',
    secondsToSafe,
    failedRequests: failures.length,
    safe: doubts.length === 0,
    ...(doubts.length > 0 ? { why: doubts.join('; ') } : {}),
  }
}
