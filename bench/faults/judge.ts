// What became of the traffic after a fault, by what the user got and nothing else. Pure.
import type { Line } from '../mesh/index.ts'

/** `secondsToSafe`: until the last answer of the version that ends up with no traffic; null when there is no such version. */
export type Ending = {
  endState: string
  secondsToSafe: number | null
  failedRequests: number
  safe: boolean
  why?: string
}

/** `struck`: when the fault did (ms since the epoch); `healthy`: the versions on which traffic may end; `limitSeconds`: within which time, if within any; `verdict`: what the run said, if it could. */
export type Struck = {
  struck: number
  healthy: string[]
  limitSeconds?: number
  verdict?: string
  requestsPerSecond: number
}

/** What came last is the end: long enough that a version with a tenth of the requests is seen in it. */
export const endMs = 2_500
/** Of the requests at the end. */
const tolerated = 0.02

export function judge(lines: Line[], { struck, healthy, limitSeconds, verdict, requestsPerSecond }: Struck): Ending {
  const told = lines.findLast((line) => line.last)
  if (!told || told.at - endMs < struck)
    throw new Error(
      'the user was not watched for long enough after the fault; see `kubectl -n sample-app logs deploy/user`',
    )
  const last = Object.entries(told.last!)
  const atEnd = last.filter(([, at]) => at > told.at - endMs).map(([version]) => version)
  const failures = lines.filter(({ at, status = 200 }) => at >= struck && status !== 200)
  const failedAtEnd = failures.filter(({ at }) => at > told.at - endMs).length
  const isFailing = failedAtEnd > (tolerated * requestsPerSecond * endMs) / 1000
  const left = last.flatMap(([version, at]) => (atEnd.includes(version) || at < struck ? [] : [(at - struck) / 1000]))
  const secondsToSafe = atEnd.length === 1 ? Math.max(0, ...left) : null
  const doubts = [
    ...(atEnd.length === 1 ? [] : [`${atEnd.join(' and ') || 'nobody'} answers at the end`]),
    ...atEnd
      .filter((version) => !healthy.includes(version))
      .map((version) => `${version} answers at the end, and is bad`),
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
