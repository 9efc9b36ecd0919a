// Requests of users that failed before they reached any version: no endpoint, no route or no connection. No version can
// be blamed for them, and the checks of the versions do not see them. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import * as objective from './objective.ts'
import { addLimitCounts, type LimitCounts } from './request-counts.ts'

/** `counts`: since the first stage. */
export type Unserved = { counts: LimitCounts; test: objective.Objective }

/** Such failures may be as frequent as failures of the canary may be. */
export function createUnserved({ checks: { successRate } }: CanaryConfig): Unserved {
  return { counts: { requests: 0, violations: 0 }, test: objective.create(1 - successRate) }
}

export function addUnserved({ counts, test }: Unserved, sample: LimitCounts): Unserved {
  return {
    counts: addLimitCounts(counts, sample),
    test: objective.add(test, sample, false),
  }
}

/** True if more requests fail so than tolerated, with a chance of error of at most `falseRollback`. */
export function isUnservedTooOften({ checks: { falseRollback } }: CanaryConfig, { test }: Unserved): boolean {
  return objective.evidence(test).overLimit >= 1 / falseRollback
}
