// The promotion as plain data: what the machine observes, its state in each phase, and the actions that it asks for.
// The state is JSON, because the Lease keeps it for a later run (ownership/lease.ts: raise `version` when it changes).
import type { Checks } from '../analysis/checks.ts'
import type { LimitCounts, RequestCounts } from '../analysis/request-counts.ts'
import type { Pinned, ShareCounts } from '../analysis/share.ts'
import type { ShiftEvidence } from '../analysis/shift-detector.ts'
import type { Unserved } from '../analysis/unserved.ts'
import type { Finding, Gate } from './finding.ts'

/** One sample: what the pods served since the sample before, and what else is known now. */
export type Observation = {
  canary: RequestCounts
  stable: RequestCounts
  /** Requests as the callers' own sidecars counted them: after retries, including failures that no server saw. */
  users: RequestCounts
  /** Calls as the callers' own sidecars counted them, and those of them that failed before any version saw them. */
  unserved?: LimitCounts
  /** All canary pods are ready. */
  ready: boolean
  /** Stable gets traffic, and no ready pod of it is behind the Service. */
  stableDown?: true
  /** No ready pod of the canary is behind the Service, so it may get no more traffic. */
  canaryDown?: true
  /** Why the canary's pods are broken beyond waiting, such as a crash. */
  fault?: string
  /** Someone else changed the weights or the routes: who, and what the routes say now. */
  drift?: string
  /**
   * The guard Job does not watch, so no traffic may move to the canary; or it does not know all routes; or the API server
   * refuses its pod.
   */
  unguarded?: 'starting' | 'uncovered' | 'refused'
  /** Every counter was read; otherwise nothing can be said of the canary. */
  complete: boolean
  /** A client that has called before was not read, so the users' requests are not all counted. */
  callersSilent?: true
  /** Why the counters, though read, do not tell which requests failed. */
  unreadable?: string
  /** By what the canary's share is judged; undefined if the requests of some pods of a version were not counted. */
  share?: Pinned
  /** The latest answers of queries, commands and webhooks. */
  findings: Finding[]
  gates: Partial<Record<Gate, Finding>>
}

/** A part of the plan: copies of requests, then requests that match a header, then shares of all requests. */
export type Stage =
  | { kind: 'mirror'; percent: number; forMs: number }
  | { kind: 'ab'; forMs: number }
  | { kind: 'weight'; weight: number; forMs: number }

type StepBase = {
  kind: Stage['kind']
  /** The canary's weight in per cent; of a mirror, the share that is copied. */
  weight: number
  /** The canary's weight in per cent before this step. */
  from: number
  /** When the routes got the traffic of the step, in milliseconds since the epoch; before that, when it was decided. */
  shiftedAt: number
  /** What both versions served since then. */
  canary: RequestCounts
  stable: RequestCounts
}

/**
 * Since when the traffic is known to have moved, and how many requests each version served after that. `share`: those
 * by which the canary's share is judged. `requestsWhileLagging`: how many of them showed a share on the side of the
 * weight before, until they were counted anew.
 */
export type WatchedRequests = {
  since: number
  canary: number
  stable: number
  share?: ShareCounts
  requestsWhileLagging?: number
}

/** The routes ask for the step's traffic, and the requests do not show it yet. */
export type ShiftingStep = StepBase & { outcome: 'shifting'; shift?: ShiftEvidence }

/** The traffic has moved; the checks decide. */
export type WatchingStep = StepBase & { outcome: 'watching'; watched: WatchedRequests }

export type StepOutcome =
  | 'passed'
  | 'failed'
  | 'inconclusive'
  | 'rolled-back'
  | 'held'
  | 'interrupted'
  | 'returned-to-compare'

/** `watched` is missing when the step ended before its traffic had moved. */
export type EndedStep = StepBase & { outcome: StepOutcome; endedAt: number; watched?: WatchedRequests }

export type Step = ShiftingStep | WatchingStep | EndedStep

/** All steps so far, of which only the last is under way. */
export type StepsUpTo<Current extends Step> = [...EndedStep[], Current]

/** `timed`: the canary's requests whose latency was observed and not judged. */
export type WarmUp = { timed: number; isOver: boolean }

/** What every phase knows. Times are milliseconds since the epoch, weights are the canary's in per cent. */
export type Progress = {
  startedAt: number
  startWeight: number
  weight: number
  /** The weight at which this run found the canary; it may have lowered it since. */
  foundWeight: number
  /** The weight up to which earlier runs have seen the steps pass. */
  passedWeight: number
  /** How many stages of the plan have started. */
  stagesStarted: number
  checks: Checks
  /** All that stable served, before the promotion too: the canary's latency is compared with it. */
  stableTotal: RequestCounts
  /** What was served since the first stage, without the latencies of the warm-up. */
  canary: RequestCounts
  stable: RequestCounts
  users: RequestCounts
  warmUp: WarmUp
  /** Users' requests that failed before any version saw them. */
  unserved: Unserved
  /** The latest answer of each query, command and webhook, by its name. */
  findings: Record<string, Finding>
  passedGates: Gate[]
  firstTrafficAt?: number
  /**
   * How long the runs that handed the promotion over have watched this stage, counted as `stagesStarted`, and how many requests
   * the canary served in it.
   */
  watchedBefore?: { stage: number; ms: number; canary?: number }
  /** How often the weights were restored after someone else had changed them. */
  takeovers: number
}

/**
 * Since when: `countersMissingSince`: the counters cannot be read. `unguardedSince`: no guard watches. `unservedSince`:
 * too many requests of users fail before they reach a version.
 */
type Running = Progress & { countersMissingSince?: number; unguardedSince?: number; unservedSince?: number }

/** Waits for ready pods, the guard and the first webhooks, at the start and after an interruption. */
export type WaitingState = Running & { phase: 'waiting'; waitingSince: number; steps: EndedStep[] }

export type ShiftingState = Running & { phase: 'shifting'; steps: StepsUpTo<ShiftingStep> }

export type WatchingState = Running & { phase: 'watching'; steps: StepsUpTo<WatchingStep> }

/** All steps but the last have passed; waits for the webhooks of type confirm-promotion. */
export type ConfirmingState = Running & { phase: 'confirming'; confirmingSince: number; steps: EndedStep[] }

export type Verdict = 'promoted' | 'rolled-back' | 'held' | 'inconclusive' | 'skipped'

/** What a controller that moves the traffic has made of the canary; `running`: it goes on. */
export type EngineVerdict = 'promoted' | 'rolled-back' | 'held' | 'running'

export type Subject = 'guard' | 'no requests' | 'share'

/**
 * How a promotion ended, and why.
 * `timeToDetectMs`: from the canary's first request to the decision that it failed.
 * `asPlanned`: the plan stops at this weight, and nothing went wrong.
 * `about`: what the reason is about, where a look at it tells more: the guard, why no request reached the canary in its
 * last step, or how the requests were shared. Elsewhere the canary's pods tell more.
 */
export type Outcome = { reason: string } & (
  | { verdict: 'promoted' | 'skipped' }
  | { verdict: 'inconclusive'; about?: Subject }
  | { verdict: 'rolled-back'; timeToDetectMs?: number; about?: Subject }
  | { verdict: 'held'; timeToDetectMs?: number; asPlanned?: true; about?: Subject }
)

export type EndedState = Progress & { phase: 'ended'; steps: EndedStep[] } & Outcome

/** waiting → shifting → watching → shifting … → confirming → shifting → watching → ended */
export type ActiveState = WaitingState | ShiftingState | WatchingState | ConfirmingState
export type State = ActiveState | EndedState

export type Action =
  | { kind: 'weight'; weight: number }
  | { kind: 'mirror'; percent: number }
  | { kind: 'ab' }
  /** Removes the mirror and the header route. */
  | { kind: 'clear' }

export type Next<S extends State = State> = { state: S; actions: Action[] }
