// A canary that starts cold is slow at first: caches are empty, and a virtual machine has not compiled its code. Until it
// is warm, its latency is observed but not judged. Its failures are. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import { flushIntervalMs } from '../analysis/latency-windows.ts'
import { noRequests, type RequestCounts } from '../analysis/request-counts.ts'
import { stagesOf } from './stages.ts'
import { currentStep } from './steps.ts'
import type { ActiveState, WarmUp } from './types.ts'

export const notWarm: WarmUp = { timed: 0, isOver: false }

/**
 * With the sample that is about to be counted. It is over for good after so many requests or so much time, and at the
 * latest when the stage before the last has had its time: the last one starts only after the latency was judged. A
 * single stage ends it halfway through the time that it waits for evidence.
 */
export function warmUpWith(plan: CanaryConfig, state: ActiveState, canary: RequestCounts, now: number): WarmUp {
  const { warmUp, firstTrafficAt } = state
  if (warmUp.isOver) return warmUp
  return isTimeOver(plan, state, now) || isLongEnough(plan, warmUp, firstTrafficAt, now)
    ? { ...warmUp, isOver: true }
    : { timed: warmUp.timed + canary.times.total, isOver: false }
}

function isTimeOver(plan: CanaryConfig, state: ActiveState, now: number): boolean {
  const stages = stagesOf(plan)
  const isSingle = stages.length === 1
  if (!isSingle && state.stagesStarted === stages.length) return true
  if (state.phase !== 'watching' || state.stagesStarted < stages.length - 1) return false
  const forMs = stages[state.stagesStarted - 1]?.forMs ?? plan.interval
  const watchedMs = now - currentStep(state.steps).watched.since
  return watchedMs >= forMs + (isSingle ? plan.progressDeadline / 2 : 0)
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
  plan: CanaryConfig,
  { warmUp: { timed, isOver }, canary }: ActiveState,
): string | undefined {
  const {
    checks: { p99, minRequests },
    warmup,
  } = plan
  if (p99 === undefined || (warmup.by === 'requests' ? warmup.count : warmup.ms) === 0) return undefined
  // All requests of the last of several stages are judged, and it needs `minRequests` itself.
  if (isOver && stagesOf(plan).length > 1) return undefined
  if (isOver && canary.times.total >= minRequests) return undefined
  const needed = warmup.by === 'requests' ? `${warmup.count} requests` : `${warmup.ms / 1000} s`
  const since = isOver ? `, and it has served ${canary.times.total} since` : `, and it has served ${timed}`
  return `its latency is judged only after ${needed} (\`warmup\`)${since}`
}
