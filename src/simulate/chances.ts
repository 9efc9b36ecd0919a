// The chances of a plan: what becomes of canaries that fail this or that share of their requests.
import type { CanaryConfig } from '../config/schema.ts'
import { promote, simulatedPlan } from './promotion.ts'
import { randomFrom } from './random.ts'
import { traffic } from './traffic.ts'

/**
 * `failing`: the share of the canary's requests that fail. `promoted` (or held as the plan says), `rolledBack`,
 * `inconclusive`: shares of the simulated promotions. `seconds`, `failedRequests`: medians until the verdict; the
 * requests are users', without copies.
 */
export type Chances = {
  failing: number
  promoted: number
  rolledBack: number
  inconclusive: number
  seconds: number
  failedRequests: number
}

const seed = 1
/** Stable fails one of a thousand requests, or less where the limit is stricter. */
export function stableFailing({ checks: { successRate } }: CanaryConfig): number {
  return Number(Math.min(0.001, (1 - successRate) / 2).toPrecision(6))
}

/** From no failure to nothing but failures, close together around the limit and what is tolerated. */
export function failureRates({ checks: { successRate, tolerance } }: CanaryConfig): number[] {
  const limit = 1 - successRate
  const near = [0, 0.5, 1, 1.5, tolerance, 1.5 * tolerance, 2.5 * tolerance].map((multiple) => multiple * limit)
  const rates = [...near, 0.1, 0.2, 0.5, 1].filter((rate) => rate <= 1).map((rate) => Number(rate.toPrecision(6)))
  return [...new Set(rates)].sort((a, b) => a - b)
}

/** `rate`: users' requests per second; `runs`: promotions for each failure rate. */
export function chancesOf(plan: CanaryConfig, rate: number, runs: number): Chances[] {
  const simulated = simulatedPlan(plan)
  const baseline = stableFailing(plan)
  return failureRates(plan).map((failing) => {
    const random = randomFrom(seed)
    const users = { rate, baseline, canary: failing, bursts: 'none' as const }
    const outcomes = Array.from({ length: runs }, () => promote(simulated, traffic(users, random)))
    const share = (...wanted: string[]) => outcomes.filter(({ verdict }) => wanted.includes(verdict)).length / runs
    const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(runs / 2)]!
    return {
      failing,
      promoted: share('promoted', 'held'),
      rolledBack: share('rolled-back'),
      inconclusive: share('inconclusive'),
      seconds: Math.round(median(outcomes.map(({ seconds }) => seconds))),
      failedRequests: median(outcomes.map(({ userFailures }) => userFailures)),
    }
  })
}
