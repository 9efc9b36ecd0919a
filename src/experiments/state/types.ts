// The types of an experiment's state machine: what it sees, what it knows, and what it asks for. Pure.
import type { RequestCounts } from '../../canary/analysis/request-counts.ts'
import type { Evidence } from './evidence.ts'
import type { MeshCounts } from './mesh-counts.ts'
import type { FaultSigns, Presence } from './presence.ts'
import type { StopWatch } from './stop.ts'

export type ExperimentVerdict = 'resilient' | 'fragile' | 'inconclusive'

/**
 * What a poll has seen since the poll before. `isGuarded`: the guard watches the Lease. `isWritten`: everything of the
 * fault is written. `isRemoved`: nothing of it is written any more. `touched`: objects of the fault that somebody else
 * has changed. `unready`: pods of the target that are not ready or missing; undefined if nothing could be sampled.
 * `unread`: callers whose counters could not be read, so that what they counted comes with a later sample.
 */
export type Observation = {
  users: RequestCounts
  mesh: MeshCounts
  signs: FaultSigns
  isGuarded: boolean
  isWritten: boolean
  isRemoved: boolean
  touched: string[]
  unready: number | undefined
  unread: number
}

export type Outcome = { verdict: ExperimentVerdict; reason: string }

export type Phase = 'waiting' | 'steady' | 'injecting' | 'observing' | 'recovering' | 'ended'

/** Times are milliseconds. `steady` and `acting`: the users before, and while the fault acted. */
export type Record = {
  timeline: { phase: Phase; at: number }[]
  steady: RequestCounts
  acting: RequestCounts
  evidence: Evidence
  mesh: MeshCounts
  signs: FaultSigns
  stop: StopWatch
  presence: Presence
}

/** What the users got in a part of the time after the fault, of `ms` milliseconds. */
export type AfterSample = { users: RequestCounts; ms: number }

/**
 * `since`: when the phase began. `removedAt`: when the fault was no longer written. `after`: the samples since the last
 * one that showed the fault. `lead`: the last sample before the fault showed itself, when it was written already.
 * `isUnjudged`: some callers were not read since the fault acted, so the outcome waits for them. `seenAt`: of the last
 * sample.
 */
export type State = Record &
  (
    | { phase: 'waiting' | 'steady' | 'injecting' | 'observing'; since: number; lead?: Observation }
    | RecoveringPhase
    | EndedPhase
  )

type RecoveringPhase = {
  phase: 'recovering'
  since: number
  outcome: Outcome
  isUnjudged: boolean
  removedAt?: number
  seenAt: number
  after: AfterSample[]
}

/**
 * `recovery`: `confirmed` if the counters show that the fault and its effects are gone; `unneeded` if nothing was
 * injected. `seconds`: from the removal of the fault until then.
 */
export type Recovery =
  | { kind: 'unneeded' }
  | { kind: 'confirmed'; seconds: number }
  | { kind: 'unconfirmed'; problem: string; isRemoved: boolean }
type EndedPhase = { phase: 'ended'; since: number; outcome: Outcome; recovery: Recovery }
export type EndedState = Extract<State, { phase: 'ended' }>

export type Action = 'inject' | 'recover'
export type Step = { state: State; actions: Action[] }
