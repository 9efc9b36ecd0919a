// How often users get answers, compared with the time before the fault. Pure.
import type { Phase, State } from './types.ts'

/** Requests in `ms` milliseconds, as a part of the steady rate. */
export function shareOfSteadyRate({ steady, timeline }: State, requests: number, ms: number): number {
  const at = (phase: Phase) => timeline.find((each) => each.phase === phase)?.at ?? 0
  return requests / ms / (steady.requests / (at('injecting') - at('steady')))
}
