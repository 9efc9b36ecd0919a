// The types of an experiment's state machine: what it sees, what it knows, and what it asks for. Pure.
import type { RequestCounts } from '../../canary/analysis/request-counts.ts'
import type { Evidence } from './evidence.ts'
import type { MeshCounts } from './mesh-counts.ts'
import type { FaultCoverage, FaultSigns } from './coverage.ts'
import type { StopWatch } from './stop.ts'

export type ExperimentVerdict = 'resilient' | 'fragile' | 'inconclusive'

/**
 * What a poll has seen since the poll before. `isGuarded`: the guard watches the Lease. `wasSent`: something of the fault
 * may have been written. `isWritten`: everything of it is. `isRemoved`: nothing of it is written any more. `disturbed`: what
 * keeps the fault from acting, in words. `podsNotReady`: of the target, or missing; undefined if nothing could be sampled.
 * `callersNotRead`: callers whose counters were not read, so that what they counted comes with a later sample. `late`: the
 * part of this sample that comes from callers that were not read the last time. `isBlind`: no counter could be read at all.
 */
export type Observation = {
  users: RequestCounts
  mesh: MeshCounts
  late: { users: RequestCounts; mesh: MeshCounts }
  signs: FaultSigns
  isGuarded: boolean
  wasSent: boolean
  isWritten: boolean
  isRemoved: boolean
  disturbed: string[]
  podsNotReady: number | undefined
  callersNotRead: number
  isBlind: boolean
}

export type Outcome = { verdict: ExperimentVerdict; reason: string }

export type Phase = 'waiting' | 'steady' | 'injecting' | 'observing' | 'recovering' | 'ended'

/**
 * Times are milliseconds. `steady` and `acting`: the users before, and while the fault acted. `signs`: of the fault, in the
 * phase before the injection or since.
 */
export type ExperimentRecord = {
  timeline: { phase: Phase; at: number }[]
  steady: RequestCounts
  acting: RequestCounts
  evidence: Evidence
  mesh: MeshCounts
  signs: FaultSigns
  stop: StopWatch
  coverage: FaultCoverage
}

/** What the users got in a part of the time after the fault, of `ms` milliseconds. */
export type AfterSample = { users: RequestCounts; ms: number }

/**
 * `since`: when the phase began. `beforeFirstSign`: the last samples before the fault showed itself, when it was written
 * already. `blindSince`: no counter could be read since then. `removedAt`: when the fault was no longer written. `after`:
 * the latest samples since the last one that showed the fault. `callsAfter`: all calls to the target of the fault since
 * then. `backAt`: when the users first got what is expected again, with all pods ready. `waitsForCallers`: some callers were
 * not read since the fault acted, so the outcome waits for them. `seenAt`: of the last sample.
 */
export type State = ExperimentRecord & (ActingPhase | RecoveringPhase | EndedPhase)

type ActingPhase = {
  phase: 'waiting' | 'steady' | 'injecting' | 'observing'
  since: number
  beforeFirstSign?: { seen: Observation; at: number }[]
  blindSince?: number
}

type RecoveringPhase = {
  phase: 'recovering'
  since: number
  outcome: Outcome
  waitsForCallers: boolean
  removedAt?: number
  seenAt: number
  after: AfterSample[]
  callsAfter: number
  backAt?: number | undefined
}

/**
 * `recovery`: `confirmed` if the counters show that the fault and its effects are gone; `unneeded` if nothing was
 * injected. `seconds`: from the removal of the fault until the users were back.
 */
export type Recovery =
  | { kind: 'unneeded' }
  | { kind: 'confirmed'; seconds: number }
  | { kind: 'unconfirmed'; problem: string; isRemoved: boolean }
type EndedPhase = { phase: 'ended'; since: number; outcome: Outcome; recovery: Recovery }
export type EndedState = Extract<State, { phase: 'ended' }>

export type Action = 'inject' | 'recover'
export type Step = { state: State; actions: Action[] }
