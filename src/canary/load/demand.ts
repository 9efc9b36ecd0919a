// How many synthetic requests the canary needs. Pure.

/** Requests per second at most, unless the plan says another number. */
export const defaultMaxRate = 100

/** The users' own traffic, and what the canary needs in a step. */
export type Demand = {
  /** Requests that the canary needs in the step. */
  needed: number
  stepMs: number
  /** The canary's share of all requests, in per cent. */
  weight: number
  /** Requests of users to both versions, in so many seconds. */
  fromUsers: number
  seconds: number
}

/**
 * Requests per second to add so that the canary gets what it needs: at most `maxRate`, and none while it gets no
 * share.
 */
export function missingRate({ needed, stepMs, weight, fromUsers, seconds }: Demand, maxRate: number): number {
  if (weight === 0) return 0
  const wantedPerSecond = needed / (stepMs / 1000) / (weight / 100)
  const usersPerSecond = seconds === 0 ? 0 : fromUsers / seconds
  return Math.min(maxRate, Math.max(0, Math.ceil(wantedPerSecond - usersPerSecond)))
}
