// The timeline of a promotion for the report: one sample per poll; older samples are merged. Pure.
import type { CheckName, CheckResult } from '../analysis/check-results.ts'
import { addTallies, type Tally } from '../analysis/request-counts.ts'
import type { Observation, State } from '../state/types.ts'
import type { CanaryConfig } from '../../config/schema.ts'

/**
 * What was served in the `lastedMs` before `at` (milliseconds since the epoch). `step`: the index of the step.
 * `weight`: of the canary, in per cent. `evidence`: the E values after it, by check.
 */
export type TimelineSample = {
  readonly at: number
  readonly lastedMs: number
  readonly step: number
  readonly weight: number
  readonly canary: Tally
  readonly stable: Tally
  readonly users: Tally
  readonly evidence: Readonly<Partial<Record<CheckName, { fail: number; pass: number }>>>
}

export type Timeline = readonly TimelineSample[]

/** A promotion of hours fills the report with so many samples at most, unless it has more steps. */
export const mostSamples = 480
/** So many of the latest samples are never joined: how it ended matters most. */
const mostRecent = 120

/** `before`: the state that the sample was taken in; `results`: what the checks say with it. Undefined before the first step. */
export function timelineSample(
  before: State,
  results: readonly CheckResult[],
  { canary, stable, users }: Pick<Observation, 'canary' | 'stable' | 'users'>,
  time: { at: number; lastedMs: number },
): TimelineSample | undefined {
  if (before.phase === 'waiting') return undefined
  return {
    ...time,
    step: before.steps.length - 1,
    weight: before.weight,
    canary: tallyOf(canary),
    stable: tallyOf(stable),
    users: tallyOf(users),
    evidence: Object.fromEntries(
      results.map(({ check, failEvidence, passEvidence }) => [check, { fail: failEvidence, pass: passEvidence }]),
    ),
  }
}

function tallyOf({ requests, failures }: Tally): Tally {
  return { requests, failures }
}

/** What a run has seen so far. */
export class TimelineRecorder {
  private readonly plan: CanaryConfig
  private sampledAt: number | undefined
  samples: Timeline = []

  constructor(plan: CanaryConfig) {
    this.plan = plan
  }

  /** `before`: the state that the sample was taken in; `results`: what the checks say with it. */
  record(before: State, results: readonly CheckResult[], observation: Observation, now: number): void {
    const time = { at: now, lastedMs: now - (this.sampledAt ?? now - this.plan.pollInterval) }
    const sample = timelineSample(before, results, observation, time)
    if (sample) this.samples = addToTimeline(this.samples, sample)
    this.sampledAt = now
  }
}

/** When there are too many samples, joins neighbours: every sum stays the same, and no sample spans two steps. */
export function addToTimeline(timeline: Timeline, sample: TimelineSample): Timeline {
  const grown = [...timeline, sample]
  return grown.length > mostSamples ? thinned(grown) : grown
}

/** Joins as evenly as possible: the shortest samples first, until a quarter of the old ones is gone. */
function thinned(timeline: Timeline): Timeline {
  const old = timeline.slice(0, -mostRecent)
  const target = Math.floor(old.length * 0.75)
  let joined: Timeline = old
  for (let spanMs = 2 * shortestOf(old); joined.length > target; spanMs *= 2) {
    joined = joinNeighbours(joined, spanMs)
    if (spanMs > totalOf(old)) break
  }
  return [...joined, ...timeline.slice(-mostRecent)]
}

/** Neighbours of one step that last at most `spanMs` together become one sample. */
function joinNeighbours(samples: Timeline, spanMs: number): Timeline {
  const joined: TimelineSample[] = []
  for (const sample of samples) {
    const last = joined.at(-1)
    const fits = last && last.step === sample.step && last.weight === sample.weight
    if (fits && last.lastedMs + sample.lastedMs <= spanMs) joined[joined.length - 1] = join(last, sample)
    else joined.push(sample)
  }
  return joined
}

function join(first: TimelineSample, second: TimelineSample): TimelineSample {
  return {
    ...second,
    lastedMs: first.lastedMs + second.lastedMs,
    canary: addTallies(first.canary, second.canary),
    stable: addTallies(first.stable, second.stable),
    users: addTallies(first.users, second.users),
  }
}

const shortestOf = (samples: Timeline) => Math.max(1, Math.min(...samples.map(({ lastedMs }) => lastedMs)))
const totalOf = (samples: Timeline) => samples.reduce((total, { lastedMs }) => total + lastedMs, 0)
