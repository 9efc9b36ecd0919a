// What a run did, as plain data: the JSON report, and what summary and outputs are made of.
import type { Served, Verdict } from '../canary/machine.ts'
import type { Promotion } from '../canary/promote.ts'
import type { Cost } from '../mesh/cost.ts'
import type { Installed } from '../mesh/install.ts'
import type { Change } from '../policies/apply.ts'
import type { Action } from '../policies/plan.ts'
import type { DeepRow } from '../verify/deep.ts'
import type { PodRow } from '../verify/pods.ts'
import type { ProxyRow } from '../verify/proxies.ts'
import type { WireRow } from '../verify/wire.ts'

export type StageResult = { name: string; seconds: number; outcome: 'done' | 'unchanged' | 'failed' }

export type PlanRow = { action: Action; kind: string; namespace: string; name: string; diff: string[] }

export type StepReport = { weight: number; startSeconds: number; seconds: number; canary: Served; stable: Served; outcome: string }

/** `userRequests`: as the callers' own sidecars counted them, after retries. Times are seconds. */
export type PromotionReport = {
  service: string
  stable: string
  canary: string
  steps: StepReport[]
  requestsObserved: number
  userRequests: { total: number; failed: number }
  secondsToDetect?: number
  secondsToSafe?: number
}

export type Report = {
  startedAt: string
  seconds: number
  outcome: 'success' | 'failure'
  /** Nothing was to be written: what is told is what would be. */
  dryRun: boolean
  namespace: string
  server?: string
  stages: StageResult[]
  istioctl?: { path: string; version: string; cacheHit: boolean }
  mesh?: Installed
  changes: Change[]
  restarted: string[]
  pods: PodRow[]
  /** What was doubtful: a sentence each. */
  warnings: string[]
  /** What the policies asked to change; done, unless it was a dry run. */
  plan?: PlanRow[]
  /** The objects as YAML, where there was no cluster to compare them with. */
  rendered?: string
  proxies?: ProxyRow[]
  wire?: WireRow[]
  deep?: DeepRow[]
  cost?: Cost
  /** What uninstall took away, or would. */
  removed?: string[]
  verdict?: Verdict
  /** The canary's weight at the end, in per cent. */
  weight?: number
  reason?: string
  promotion?: PromotionReport
  /** Why the run failed: a sentence a line. */
  error?: string
}

export function promotionReport(promotion: Promotion, stable: string, canary: string): PromotionReport {
  const { startedAt, steps, users, timeToDetectMs, secondsToSafe } = promotion
  return {
    service: promotion.service,
    stable,
    canary,
    steps: steps.map((step) => ({
      weight: step.weight,
      startSeconds: (step.shiftedAt - startedAt) / 1000,
      seconds: ((step.endedAt ?? step.shiftedAt) - step.shiftedAt) / 1000,
      canary: step.canary,
      stable: step.stable,
      outcome: step.outcome,
    })),
    requestsObserved: promotion.canary.requests,
    userRequests: { total: users.requests, failed: users.failures },
    ...(timeToDetectMs === undefined ? {} : { secondsToDetect: timeToDetectMs / 1000 }),
    ...(secondsToSafe === undefined ? {} : { secondsToSafe }),
  }
}
