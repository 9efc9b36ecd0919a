// The timeline of a promotion as lists of numbers, which fill less of the report than objects. Pure.
import { shownCount } from '../canary/analysis/request-counts.ts'
import type { CheckName } from '../canary/analysis/check-results.ts'
import type { Timeline, TimelineSample } from '../canary/controller/timeline.ts'

/**
 * What both versions served over time, in lists of the same length, oldest first. `seconds`: since the promotion began;
 * `lasted`: how many of them a sample covers. `step`: the index in `steps`. `weight`: of the canary, in per cent.
 * `evidence`: the E values of each check after the sample.
 */
export type TimelineReport = {
  seconds: number[]
  lasted: number[]
  step: number[]
  weight: number[]
  canary: TallyLists
  stable: TallyLists
  users: TallyLists
  evidence: Partial<Record<CheckName, { fail: (number | null)[]; pass: (number | null)[] }>>
}
type TallyLists = { requests: number[]; failures: number[] }

/** `startedAt`: when the promotion began, in milliseconds since the epoch. */
export function timelineReport(timeline: Timeline, startedAt: number): TimelineReport {
  const tallies = (whose: 'canary' | 'stable' | 'users'): TallyLists => ({
    requests: timeline.map((sample) => shownCount(sample[whose].requests)),
    failures: timeline.map((sample) => shownCount(sample[whose].failures)),
  })
  return {
    seconds: timeline.map(({ at }) => (at - startedAt) / 1000),
    lasted: timeline.map(({ lastedMs }) => lastedMs / 1000),
    step: timeline.map(({ step }) => step),
    weight: timeline.map(({ weight }) => weight),
    canary: tallies('canary'),
    stable: tallies('stable'),
    users: tallies('users'),
    evidence: evidenceLists(timeline),
  }
}

/** A check has no value before it has something to count. */
function evidenceLists(timeline: Timeline): TimelineReport['evidence'] {
  const names = new Set(timeline.flatMap(({ evidence }) => Object.keys(evidence) as CheckName[]))
  const valueOf = ({ evidence }: TimelineSample, name: CheckName, side: 'fail' | 'pass') => {
    const found = evidence[name]
    return found ? Number(found[side].toPrecision(4)) : null
  }
  return Object.fromEntries(
    [...names].map((name) => [
      name,
      {
        fail: timeline.map((sample) => valueOf(sample, name, 'fail')),
        pass: timeline.map((sample) => valueOf(sample, name, 'pass')),
      },
    ]),
  )
}
