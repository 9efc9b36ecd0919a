// Synthetic users of a service with two versions. Requests come at random (Poisson); the mesh sends each to the
// canary by lot, by the current weight. Time is virtual, and any period is drawn at once.
import { exponential, poisson, type Random } from './random.ts'

/**
 * How half of the failures that both versions have occur; the other half are independent.
 * `outages`: a dependency of both is down for 1 to 3 s, and half of all requests fail and are slow.
 * `clusters`: a request that fails at either version is sent again, 10 times on average.
 */
export type Bursts = 'none' | 'outages' | 'clusters'

/**
 * `rate`: requests of users a second. `baseline`, `canary`: the share of requests that fails at stable and at the canary.
 * `slow`: the share of the canary's good requests that is slower than stable's p99. `retries`: how often the mesh retries
 * a failure, always at the same version. A request fails on every try or on none.
 */
export type Users = {
  rate: number
  baseline: number
  canary: number
  bursts: Bursts
  slow?: number
  retries?: number
}

/** As the version's own sidecars count: every try. */
export type Tally = { requests: number; failures: number; slow: number }
export type Tallies = { canary: Tally; stable: Tally }

export type Traffic = {
  /**
   * Sets the canary's weight, and the share of the requests that it gets as copies, both in per cent. They take effect
   * up to 1 s later.
   */
  shift(weight: number, copies?: number): void
  /** Adds so many requests per second to those of the users. */
  addLoad(perSecond: number): void
  /** What was served between the last call and this time, in seconds. */
  until(now: number): Tallies
  /** When the canary got its first traffic, in seconds. */
  firstAt(): number | undefined
  /** How often the mesh tries a request that fails. */
  tries: number
}

/** The parts of the users' requests that each version serves; copies count for the canary. */
type Shares = { canary: number; stable: number }

const outageShare = 0.5
const outageSeconds = 2
const clusterSize = 10
/** The share of stable's good requests that is slower than its p99, and of a healthy canary's. */
export const healthySlow = 0.005

export function traffic(users: Users, random: Random): Traffic {
  const outages = users.bursts === 'outages' ? outagesOf(users, random) : () => 0
  let [time, load] = [0, 0]
  let shares: Shares = { canary: 0, stable: 1 }
  let change: { shares: Shares; at: number } | undefined
  let firstAt: number | undefined
  const serve = (tallies: Tallies, end: number) => {
    draw({ ...users, rate: users.rate + load }, shares, end - time, outages(time, end), random, tallies)
    time = end
  }
  return {
    shift(weight, copies = 0) {
      change = { shares: { canary: (weight + copies) / 100, stable: 1 - weight / 100 }, at: time + random() }
      if (weight + copies > 0) firstAt ??= change.at
    },
    addLoad(perSecond) {
      load = perSecond
    },
    until(now) {
      const tallies: Tallies = {
        canary: { requests: 0, failures: 0, slow: 0 },
        stable: { requests: 0, failures: 0, slow: 0 },
      }
      if (change && change.at <= now) {
        serve(tallies, change.at)
        shares = change.shares
        change = undefined
      }
      serve(tallies, now)
      return tallies
    },
    firstAt: () => firstAt,
    tries: 1 + (users.retries ?? 0),
  }
}

/** Seconds of outage between two times, which must rise from call to call. */
function outagesOf({ baseline }: Users, random: Random): (from: number, to: number) => number {
  // Half of the baseline: outageShare of the requests during outageSeconds, once in `every` seconds.
  const every = (outageSeconds * outageShare) / (baseline / 2)
  let begin = exponential(random, every)
  let end = begin + outageSeconds / 2 + random() * outageSeconds
  return (from, to) => {
    let seconds = 0
    while (begin < to) {
      seconds += Math.max(0, Math.min(end, to) - Math.max(begin, from))
      if (end > to) break
      begin = end + exponential(random, every)
      end = begin + outageSeconds / 2 + random() * outageSeconds
    }
    return seconds
  }
}

/** Adds what is served in so many seconds, `outage` of which are an outage. */
function draw(
  { rate, baseline, canary, bursts, slow: canarySlow = healthySlow, retries = 0 }: Users,
  shares: Shares,
  seconds: number,
  outage: number,
  random: Random,
  tallies: Tallies,
): void {
  const single = bursts === 'none' ? 1 : 0.5
  const clustered = bursts === 'clusters' ? baseline / 2 : 0
  const extraFailures = canary - baseline
  for (const [tally, part, failing, slowShare] of [
    [tallies.canary, shares.canary, single * baseline + extraFailures, canarySlow],
    [tallies.stable, shares.stable, single * baseline, healthySlow],
  ] as const) {
    if (part === 0) continue
    const requests = rate * part * seconds
    const requestsInOutage = rate * part * outage * outageShare
    const good = Math.max(0, requests * (1 - failing - clustered) - requestsInOutage)
    const [failures, failedInOutage, slow] = [
      poisson(random, requests * Math.min(1, failing)),
      poisson(random, requestsInOutage),
      poisson(random, good * slowShare),
    ]
    const failedTries = (failures + failedInOutage) * (1 + retries)
    tally.failures += failedTries
    tally.slow += slow + failedInOutage
    tally.requests += failedTries + slow + poisson(random, good * (1 - slowShare))
  }
  if (bursts === 'clusters') cluster((rate * clustered * seconds) / clusterSize, shares.canary, random, tallies)
}

/** Each request of a cluster goes to a version by lot. */
function cluster(expected: number, share: number, random: Random, tallies: Tallies): void {
  for (let left = poisson(random, expected); left > 0; left--) {
    for (let more = true; more; more = random() < 1 - 1 / clusterSize) {
      const tally = random() < share ? tallies.canary : tallies.stable
      tally.requests++
      tally.failures++
    }
  }
}
