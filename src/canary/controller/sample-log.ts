// Which samples are worth a line in the log: those in which something changed, and one every ten seconds. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import type { Observation, State } from '../state/types.ts'
import { describeSample } from './log-format.ts'

const longestSilenceMs = 10_000

type Tally = { requests: number; failures: number }
type Served = { canary: Tally; stable: Tally; users: Tally }

/** The requests of samples without a line are in the next line. `timeLeft`: in milliseconds, if that is known. */
export class SampleLog {
  private readonly plan: Pick<CanaryConfig, 'explain'>
  private readonly timeLeft: (state: State, now: number) => number | undefined
  private loggedAt = -Infinity
  private logged = ''
  private served = nothingServed()

  constructor(plan: Pick<CanaryConfig, 'explain'>, timeLeft: SampleLog['timeLeft']) {
    this.plan = plan
    this.timeLeft = timeLeft
  }

  /** The line for this sample; undefined if it says no more than the one before. With `explain`, each has one. */
  lineFor(state: State, observation: Observation, now: number): string | undefined {
    this.served = sum(this.served, observation)
    const about = subjectOf(state, observation)
    const isNew = about !== this.logged || this.plan.explain
    if (!isNew && now - this.loggedAt < longestSilenceMs) return undefined
    const line = describeSample(state, { ...observation, ...this.served }, this.timeLeft(state, now))
    this.served = nothingServed()
    this.logged = about
    this.loggedAt = now
    return line
  }
}

function nothingServed(): Served {
  const none = { requests: 0, failures: 0 }
  return { canary: none, stable: none, users: none }
}

function sum(before: Served, more: Served): Served {
  const add = (of: keyof Served) => ({
    requests: before[of].requests + more[of].requests,
    failures: before[of].failures + more[of].failures,
  })
  return { canary: add('canary'), stable: add('stable'), users: add('users') }
}

/** Requests come with every sample; that the first of them fail is news. */
function subjectOf({ phase, steps, weight }: State, observation: Observation): string {
  const { ready, complete, canary, users, findings } = observation
  const open = findings.filter(({ state }) => state !== 'pass').map(({ name, text }) => `${name}: ${text}`)
  return JSON.stringify([phase, steps.length, weight, ready, complete, canary.failures > 0, users.failures > 0, open])
}
