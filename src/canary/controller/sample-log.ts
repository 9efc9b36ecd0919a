// Which samples are worth a line in the log: those in which something changed, and one every ten seconds. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import { newsFilter } from '../../runtime/repeated-lines.ts'
import { addTallies, type Tally } from '../analysis/request-counts.ts'
import type { Observation, State } from '../state/types.ts'
import { describeSample, openFindings } from './log-format.ts'

type Served = { canary: Tally; stable: Tally; users: Tally }

/** The requests of samples without a line are in the next line. `timeLeft`: in milliseconds, if that is known. */
export class SampleLog {
  private readonly plan: Pick<CanaryConfig, 'explain'>
  private readonly timeLeft: (state: State, now: number) => number | undefined
  private readonly isNews = newsFilter()
  private served = nothingServed()

  constructor(plan: Pick<CanaryConfig, 'explain'>, timeLeft: SampleLog['timeLeft']) {
    this.plan = plan
    this.timeLeft = timeLeft
  }

  /** The line for this sample; undefined if it says no more than the one before. With `explain`, each has one. */
  lineFor(state: State, observation: Observation, now: number): string | undefined {
    this.served = sum(this.served, observation)
    if (!this.isNews(subjectOf(state, observation), now) && !this.plan.explain) return undefined
    const line = describeSample(state, { ...observation, ...this.served }, this.timeLeft(state, now))
    this.served = nothingServed()
    return line
  }
}

function nothingServed(): Served {
  const none = { requests: 0, failures: 0 }
  return { canary: none, stable: none, users: none }
}

function sum(before: Served, more: Served): Served {
  const add = (of: keyof Served) => addTallies(before[of], more[of])
  return { canary: add('canary'), stable: add('stable'), users: add('users') }
}

/** Requests come with every sample; that the first of them fail is news. */
function subjectOf({ phase, steps, weight }: State, observation: Observation): string {
  const { ready, complete, canary, users, findings } = observation
  const failing = [canary.failures > 0, users.failures > 0]
  return JSON.stringify([phase, steps.length, weight, ready, complete, ...failing, openFindings(findings)])
}
