// The rules of other tools, on the same traffic. Each has its documented settings, without the delays of its
// controller, of Prometheus' scrapes and of rate(). A window without requests counts neither way.
import type { Outcome } from '../../src/simulate/promotion.ts'
import type { Tally, Traffic } from '../../src/simulate/traffic.ts'

export type Rule = {
  name: string
  weights: number[]
  /** Seconds between two measurements, each of the success rate since the one before. */
  interval: number
  /** Measurements at each weight. */
  measurements: number
  /**
   * The required success rate. It is lowered to the service's objective where that allows more failures.
   */
  minSuccessRate: number
  /** So many failed measurements roll the canary back. */
  maxFailed: number
  /** The rollback follows one measurement later (Flagger). */
  rollsBackLate?: boolean
  /** A failed measurement is repeated at the same weight. */
  repeatsFailed?: boolean
}

/**
 * Flagger: https://docs.flagger.app/tutorials/istio-progressive-delivery (interval 1m, threshold 5, stepWeight 10,
 * maxWeight 50, request-success-rate at least 99 over 1m). A failed check stops the advance and is counted; the count
 * is never reset, and once it has reached the threshold the next check rolls back. Its shortest interval is 10 s.
 *
 * Argo Rollouts: https://argo-rollouts.readthedocs.io/en/stable/features/analysis/ (setWeight 20, 40, 60, 80
 * with pauses of 10m; in the background, success-rate every 5m, result[0] >= 0.95, failureLimit 3: the fourth failed
 * measurement aborts). Its example begins to measure at 40 and counts both versions; here it measures the canary,
 * from the first weight on.
 */
export const rules: Rule[] = [
  { name: 'threshold', weights: [5, 25, 50, 100], interval: 30, measurements: 1, minSuccessRate: 0.99, maxFailed: 1 },
  {
    name: 'Flagger',
    weights: [10, 20, 30, 40, 50],
    interval: 60,
    measurements: 1,
    minSuccessRate: 0.99,
    maxFailed: 5,
    rollsBackLate: true,
    repeatsFailed: true,
  },
  {
    name: 'Flagger, fastest',
    weights: [10, 20, 30, 40, 50],
    interval: 10,
    measurements: 1,
    minSuccessRate: 0.99,
    maxFailed: 1,
    rollsBackLate: true,
    repeatsFailed: true,
  },
  { name: 'Argo', weights: [20, 40, 60, 80], interval: 300, measurements: 2, minSuccessRate: 0.95, maxFailed: 4 },
  {
    name: 'Argo, fastest',
    weights: [10, 25, 50, 100],
    interval: 5,
    measurements: 6,
    minSuccessRate: 0.99,
    maxFailed: 1,
  },
]

export function promoteBy(
  { weights, interval, measurements, minSuccessRate, maxFailed, rollsBackLate = false, repeatsFailed = false }: Rule,
  objective: number,
  users: Traffic,
): Outcome {
  const canary: Tally = { requests: 0, failures: 0, slow: 0 }
  const outcome = (verdict: Outcome['verdict']): Outcome => ({
    verdict,
    seconds: now - (users.firstAt() ?? 0),
    requests: canary.requests,
    failures: canary.failures,
    userFailures: canary.failures,
  })
  const measure = () => {
    now += interval
    const { requests, failures } = users.until(now).canary
    canary.requests += requests
    canary.failures += failures
    return requests > 0 && 1 - failures / requests < Math.min(minSuccessRate, objective)
  }
  let [now, failed] = [0, 0]
  for (const weight of weights) {
    users.shift(weight)
    for (let left = measurements; left > 0; ) {
      const isBad = measure()
      if (isBad) failed++
      if (failed >= maxFailed) {
        if (rollsBackLate) measure()
        return outcome('rolled-back')
      }
      if (!(isBad && repeatsFailed)) left--
    }
  }
  return outcome('promoted')
}
