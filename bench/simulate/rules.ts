// What others decide by, as rules on the same traffic. Each is given what it documents, without the delays of its
// controller, of Prometheus' scrapes and of rate(); a window without requests counts neither way.
import type { Outcome } from './ours.ts'
import type { Tally, Traffic } from './traffic.ts'

export type Rule = {
  name: string
  weights: number[]
  /** Seconds between two looks, each at the success rate since the one before; at each weight so many looks. */
  interval: number
  looks: number
  /** The success rate that is asked for; where the service is allowed more failures than that, it is lowered to its objective. */
  least: number
  /** So many bad looks put the canary back, at once or only at the next look (Flagger). */
  bad: number
  late?: boolean
  /** A bad look keeps the weight for another. */
  holds?: boolean
}

/**
 * Flagger: https://docs.flagger.app/tutorials/istio-progressive-delivery (interval 1m, threshold 5, stepWeight 10,
 * maxWeight 50, request-success-rate at least 99 over 1m). A failed check stops the advance and is counted; the count is
 * never reset, and once it has reached the threshold the next look puts back. 10 s is the shortest interval it takes.
 * Argo Rollouts: https://argo-rollouts.readthedocs.io/en/stable/features/analysis/ (setWeight 20, 40, 60, 80 with pauses of
 * 10m; in the background, success-rate every 5m, result[0] >= 0.95, failureLimit 3: the fourth failed measurement aborts).
 * Its example begins to measure at 40 and counts both versions; here it measures the canary, from the first weight on.
 */
export const rules: Rule[] = [
  { name: 'threshold', weights: [5, 25, 50, 100], interval: 30, looks: 1, least: 0.99, bad: 1 },
  {
    name: 'Flagger',
    weights: [10, 20, 30, 40, 50],
    interval: 60,
    looks: 1,
    least: 0.99,
    bad: 5,
    late: true,
    holds: true,
  },
  {
    name: 'Flagger, fastest',
    weights: [10, 20, 30, 40, 50],
    interval: 10,
    looks: 1,
    least: 0.99,
    bad: 1,
    late: true,
    holds: true,
  },
  { name: 'Argo', weights: [20, 40, 60, 80], interval: 300, looks: 2, least: 0.95, bad: 4 },
  { name: 'Argo, fastest', weights: [10, 25, 50, 100], interval: 5, looks: 6, least: 0.99, bad: 1 },
]

export function judgeBy(
  { weights, interval, looks, least, bad, late = false, holds = false }: Rule,
  objective: number,
  users: Traffic,
): Outcome {
  const canary: Tally = { requests: 0, failures: 0, slow: 0 }
  const outcome = (verdict: Outcome['verdict']): Outcome => ({
    verdict,
    seconds: now - (users.firstAt() ?? 0),
    samples: canary.requests,
    failures: canary.failures,
  })
  const look = () => {
    now += interval
    const seen = users.until(now).canary
    canary.requests += seen.requests
    canary.failures += seen.failures
    return seen.requests > 0 && 1 - seen.failures / seen.requests < Math.min(least, objective)
  }
  let [now, missed] = [0, 0]
  for (const weight of weights) {
    users.shift(weight)
    for (let left = looks; left > 0; ) {
      const isBad = look()
      if (isBad) missed++
      if (missed >= bad) {
        if (late) look()
        return outcome('rolled-back')
      }
      if (!(isBad && holds)) left--
    }
  }
  return outcome('promoted')
}
