// A canary that starts cold is slow at first: caches are empty, and a virtual machine has not compiled its code. Until it
// is warm, its latency is observed but not judged. Its failures are. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import { flushIntervalMs } from '../analysis/latency-windows.ts'
import { noRequests, type RequestCounts } from '../analysis/request-counts.ts'
import { stagesOf } from './stages.ts'
import type { ActiveState, WarmUp } from './types.ts'

export const notWarm: WarmUp = { timed: 0, isOver: false }

/**
 * With the sample that is about to be counted. It is over for good after so many requests or so much time, and at the
 * latest when the last of several stages has started: a canary that stays slow is judged there.
 */
export function warmUpWith(
  plan: CanaryConfig,
  { warmUp, firstTrafficAt, stagesStarted }: ActiveState,
  canary: RequestCounts,
  now: number,
): WarmUp {
  if (warmUp.isOver) return warmUp
  const stages = stagesOf(plan).length
  const isLast = stages > 1 && stagesStarted === stages
  return isLast || isLongEnough(plan, warmUp, firstTrafficAt, now)
    ? { ...warmUp, isOver: true }
    : { timed: warmUp.timed + canary.times.total, isOver: false }
}

function isLongEnough({ warmup }: CanaryConfig, { timed }: WarmUp, firstTrafficAt: number | undefined, now: number) {
  if (warmup.by === 'requests') return timed >= warmup.count
  if (warmup.ms === 0) return true
  // A sidecar publishes a latency so much later.
  return firstTrafficAt !== undefined && now - firstTrafficAt >= warmup.ms + flushIntervalMs
}

/** What of a sample is judged. */
export function judgedPart({ isOver }: WarmUp, counts: RequestCounts): RequestCounts {
  return isOver ? counts : { ...counts, times: noRequests.times }
}

/** Why the latency of the canary is not known at the end of the last stage; undefined if it is, or has no limit. */
export function findColdCanary(
  { checks: { p99 }, warmup }: CanaryConfig,
  { warmUp: { timed, isOver } }: ActiveState,
): string | undefined {
  if (p99 === undefined || isOver) return undefined
  const needed = warmup.by === 'requests' ? `${warmup.count} requests` : `${warmup.ms / 1000} s`
  return `its latency is judged only after ${needed} (\`warmup\`), and it has served ${timed}`
}
