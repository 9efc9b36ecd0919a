// Do the callers whose sidecars are read make all calls to both versions? Then their counters tell what users got. Pure.
import type { VersionRole } from './pod-roles.ts'

/** Those that a version gave, and those that the callers received from it. */
type Answers = { given: number; received: number }

/** Answers that no retry follows, so that both sides count each of them once. */
export type FinalAnswers = { answered: Answers; failed: Answers }

/** Of recent samples. `isComplete`: the callers received, within a tolerance, all answers of both versions. */
export type CallerCoverage = Record<VersionRole, FinalAnswers> & { isComplete: boolean }

const none: Answers = { given: 0, received: 0 }
const nothing: FinalAnswers = { answered: none, failed: none }
export const noCoverage: CallerCoverage = { canary: nothing, stable: nothing, isComplete: false }

/** What a sample weighs when the next one is added: about the last 10 and 100 samples count, as failures are rare. */
const memory: Record<keyof FinalAnswers, number> = { answered: 0.9, failed: 0.99 }
/** Fewer answers show nothing, because two sidecars are not read in the same moment. */
const minAnswers = 5
const tolerance = { share: 0.05, answers: 2 }

/**
 * Failures are compared on their own: a version may fail only callers that are not read. While the versions answer too
 * little, the result stays as it is.
 */
export function addCoverage(before: CallerCoverage, sample: Record<VersionRole, FinalAnswers>): CallerCoverage {
  const canary = addAnswers(before.canary, sample.canary)
  const stable = addAnswers(before.stable, sample.stable)
  const all = [canary, stable].flatMap(({ answered, failed }) => [answered, failed])
  const shown = all.filter(({ given }) => given >= minAnswers)
  return { canary, stable, isComplete: shown.length > 0 ? shown.every(areReceived) : before.isComplete }
}

function addAnswers(before: FinalAnswers, sample: FinalAnswers): FinalAnswers {
  const added = (kind: keyof FinalAnswers): Answers => ({
    given: memory[kind] * before[kind].given + sample[kind].given,
    received: memory[kind] * before[kind].received + sample[kind].received,
  })
  return { answered: added('answered'), failed: added('failed') }
}

/** No fewer than given, and no more: those would be of others. */
function areReceived({ given, received }: Answers): boolean {
  return reaches(received, given) && reaches(given, received)
}

function reaches(count: number, other: number): boolean {
  return count >= other / 2 && count >= other * (1 - tolerance.share) - tolerance.answers
}
