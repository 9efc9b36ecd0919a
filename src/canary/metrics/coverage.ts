// Do the callers whose sidecars are read make all calls to both versions? Then their counters tell what users got. Pure.
import type { RequestCounts } from '../analysis/request-counts.ts'
import type { VersionRole } from './pod-roles.ts'

/** Answers without a failure: those that a version gave, and those that the callers received from it. */
type Answers = { given: number; received: number }

/** Of recent samples. `isComplete`: the callers received, within a tolerance, all answers of both versions. */
export type Coverage = Record<VersionRole, Answers> & { isComplete: boolean }

const none: Answers = { given: 0, received: 0 }
export const noCoverage: Coverage = { canary: none, stable: none, isComplete: false }

/** What a sample weighs when the next one is added: about the last ten samples count. */
const memory = 0.9
/** Fewer answers show nothing, because two sidecars are not read in the same moment. */
const minAnswers = 5
const tolerance = { share: 0.05, answers: 2 }

/**
 * A retry never follows an answer without a failure, so both sides count each once. While the versions answer too
 * little, the result stays as it is.
 */
export function addCoverage(before: Coverage, sample: Record<VersionRole, Answers>): Coverage {
  const canary = addAnswers(before.canary, sample.canary)
  const stable = addAnswers(before.stable, sample.stable)
  const shown = [canary, stable].filter(({ given }) => given >= minAnswers)
  return { canary, stable, isComplete: shown.length > 0 ? shown.every(areReceived) : before.isComplete }
}

function addAnswers(before: Answers, { given, received }: Answers): Answers {
  return { given: memory * before.given + given, received: memory * before.received + received }
}

function areReceived({ given, received }: Answers): boolean {
  return received >= given / 2 && received >= given * (1 - tolerance.share) - tolerance.answers
}

export function answersOf({ requests, failures, abandoned }: RequestCounts): number {
  return Math.max(0, requests - failures - abandoned)
}
