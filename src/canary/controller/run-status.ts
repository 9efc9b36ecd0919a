// The status of this run's promotion: running, ended in one way or another, or lost to another holder. Pure.
import { isHeldAsPlanned } from '../state/ending.ts'
import { progressOf } from '../state/steps.ts'
import type { ActiveState, EndedState, State } from '../state/types.ts'

/** `error`: what else went wrong; `rolledBackWith`: the service whose failure rolled this one back too. */
type Ending = { state: EndedState; error?: string; rolledBackWith?: string }

export type EndedStatus =
  /** By the state machine, or stopped from outside. `isDrainChecked`: the run has waited for the canary to drain. */
  | (Ending & { kind: 'ended'; isDrainChecked: boolean })
  /** Promoted, and waits until others are: it can still be rolled back. */
  | (Ending & { kind: 'waiting' })
  /** Cancelled. A later run may resume from `resumable`. */
  | (Ending & { kind: 'interrupted'; resumable: State })
  /**
   * The next run resumes from `resumable`. `resumeWithinMs`: how long the guard waits for that run before it rolls back;
   * undefined if nothing has to be guarded, or nothing guards it.
   */
  | (Ending & { kind: 'handed-over'; resumable: State; resumeWithinMs?: number })
  /** Another process holds the Lease, so this run writes nothing. `because`: who, and why. */
  | (Ending & { kind: 'lost'; because: string; isRollbackMissing: boolean })
  /** A rollback could not be written, or the Lease not released. The post step and the guard return the traffic. */
  | (Ending & { kind: 'unsafe' })

export type RunStatus = { kind: 'running'; state: ActiveState } | EndedStatus

function endingOf({ state, error, rolledBackWith }: EndedStatus): Ending {
  return {
    state,
    ...(error === undefined ? {} : { error }),
    ...(rolledBackWith === undefined ? {} : { rolledBackWith }),
  }
}

/**
 * With the state after a step of the machine. An ended promotion stays ended. One that was handed over, and rolled back
 * with another canary since, is not resumed.
 */
export function withState(status: RunStatus, state: State): RunStatus {
  if (state.phase !== 'ended') return { kind: 'running', state }
  if (status.kind === 'lost' || status.kind === 'unsafe' || status.kind === 'ended') return { ...status, state }
  const ending = status.kind === 'running' ? {} : endingOf(status)
  if (state.verdict === 'promoted') return { ...ending, kind: 'waiting', state }
  return { ...ending, kind: 'ended', state, isDrainChecked: false }
}

/** What waited for others is over: all are promoted, or nobody waits any more. */
export function asConcluded(status: EndedStatus): EndedStatus {
  return status.kind === 'waiting' ? { ...endingOf(status), kind: 'ended', isDrainChecked: false } : status
}

/** Cancelled. A run that has lost its Lease, or could not roll back, stays so. */
export function asInterrupted(status: RunStatus, state: EndedState, resumable: State = status.state): RunStatus {
  if (status.kind === 'lost' || status.kind === 'unsafe') return { ...status, state }
  const ending = status.kind === 'running' ? { state } : { ...endingOf(status), state }
  return { ...ending, kind: 'interrupted', resumable }
}

export function asHandedOver(state: EndedState, resumable: State, resumeWithinMs: number | undefined): RunStatus {
  return { kind: 'handed-over', state, resumable, ...(resumeWithinMs === undefined ? {} : { resumeWithinMs }) }
}

/** `rolledBackWith`: the service whose failure rolled this one back too. */
export function withRolledBackWith(status: EndedStatus, rolledBackWith: string | undefined): EndedStatus {
  const { rolledBackWith: _, ...rest } = status
  return rolledBackWith === undefined ? rest : { ...rest, rolledBackWith }
}

/** Another process holds the Lease. `state` and `error` are for a running promotion; an ended one keeps its own. */
export function asLost(status: RunStatus, state: EndedState, error: string): EndedStatus {
  if (status.kind === 'running') return { kind: 'lost', state, error, because: error, isRollbackMissing: false }
  return { ...endingOf(status), kind: 'lost', because: error, isRollbackMissing: !isSafe(status) }
}

/** Not every decision is written, and this run does not write any more. */
export function asUnsafe(status: EndedStatus, error?: string): EndedStatus {
  const ending = { ...endingOf(status), ...(error === undefined ? {} : { error }) }
  if (status.kind !== 'lost') return { ...ending, kind: 'unsafe' }
  return { ...ending, kind: 'lost', because: status.because, isRollbackMissing: true }
}

/** The canary keeps traffic, but the guard may undo that: nobody may act on the verdict. */
export function asUnsettled({ state, ...status }: EndedStatus, problem: string): EndedStatus {
  const reason = `${state.reason}; but ${problem}`
  const undecided: EndedState = {
    ...progressOf(state),
    phase: 'ended',
    steps: state.steps,
    verdict: 'inconclusive',
    reason,
  }
  return asUnsafe({ ...status, state: undecided }, reason)
}

/** False if the traffic should return to stable, or will, and that is not written. */
export function isSafe(status: RunStatus): boolean {
  return status.kind !== 'unsafe' && !(status.kind === 'lost' && status.isRollbackMissing)
}

/** The canary had traffic, and the routes give it none now. */
export function isRolledBack(status: RunStatus): boolean {
  const { state } = status
  const hadTraffic = state.steps.length > 0 || state.foundWeight > 0
  return status.kind !== 'running' && isSafe(status) && state.weight === 0 && hadTraffic
}

/** The state that a later run resumes from: of an interrupted promotion, or of one that stops where its plan says. */
export function resumableState(status: EndedStatus): State | undefined {
  if (status.kind === 'interrupted' || status.kind === 'handed-over') return status.resumable
  return isHeldAsPlanned(status.state) ? status.state : undefined
}

/** @throws Error when the promotion is still running. */
export function requireEnded(status: RunStatus): EndedStatus {
  if (status.kind === 'running') throw new Error(`the promotion is still running (${status.state.phase})`)
  return status
}
