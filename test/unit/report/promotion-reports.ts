// Reports of promotions for tests, in which only what a test is about is stated.
import type { PromotionReport, StepReport } from '../../../src/report/report.ts'

/** A canary that was promoted, without steps and checks. */
export function promotionReportOf(part: Partial<PromotionReport> = {}): PromotionReport {
  return {
    service: 'backend',
    stable: 'v1',
    canary: 'v2',
    verdict: 'promoted',
    weight: 100,
    reason: 'every step passed its checks',
    checks: [],
    steps: [],
    requestsObserved: 200,
    userRequests: { total: 800, failed: 1 },
    ...part,
  }
}

/** A step that has passed. */
export function stepReportOf(part: Partial<StepReport>): StepReport {
  return {
    kind: 'weight',
    weight: 5,
    startSeconds: 1,
    seconds: 10,
    canary: { requests: 200, failures: 1 },
    stable: { requests: 600, failures: 0 },
    outcome: 'passed',
    ...part,
  }
}
