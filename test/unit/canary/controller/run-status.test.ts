import { describe, expect, test } from 'vitest'
import {
  asConcluded,
  asHandedOver,
  asUnsafe,
  asInterrupted,
  isRolledBack,
  isSafe,
  asLost,
  resumableState,
  withRolledBackWith,
  withState,
  type EndedStatus,
  type RunStatus,
} from '../../../../src/canary/controller/run-status.ts'
import { endHeld, endOnStable } from '../../../../src/canary/state/ending.ts'
import { initialState } from '../../../../src/canary/state/start.ts'
import type { EndedState } from '../../../../src/canary/state/types.ts'
import { planOf } from '../../fixtures.ts'

const start = initialState(planOf(), 25, 0)
const rolledBack = endOnStable(start, 'rolled-back', 'it failed', 1_000).state
const promoted: EndedState = { ...rolledBack, verdict: 'promoted', reason: 'it passed' }
const held = endHeld(start, 'it is held', 1_000).state

const running: RunStatus = { kind: 'running', state: start }
const ended: EndedStatus = { kind: 'ended', state: rolledBack, isDrainChecked: false }
const unsafe: EndedStatus = { kind: 'unsafe', state: rolledBack, error: 'no answer' }
const lost: EndedStatus = {
  kind: 'lost',
  state: rolledBack,
  error: 'run 8 took over',
  because: 'run 8 took over',
  isRollbackMissing: false,
}

describe('the status of a run', () => {
  test('is ended when the state machine ends, and stays as it is after that', () => {
    expect(withState(running, start)).toEqual(running)
    expect(withState(running, rolledBack)).toEqual(ended)
    expect(withState(unsafe, held)).toEqual({ ...unsafe, state: held })
  })

  test('is waiting when it is promoted, until it is concluded or rolled back', () => {
    const waiting = { kind: 'waiting', state: promoted } as const
    expect(withState(running, promoted)).toEqual(waiting)
    expect(withState(waiting, promoted)).toEqual(waiting)
    expect(withState(waiting, rolledBack)).toEqual(ended)
    expect(asConcluded(waiting)).toEqual({ kind: 'ended', state: promoted, isDrainChecked: false })
    expect(asConcluded(unsafe)).toBe(unsafe)
  })

  test('is handed over with the time that its guard waits, unless it is rolled back later', () => {
    const handedOver = asHandedOver(held, start, 3_600_000)
    expect(handedOver).toEqual({ kind: 'handed-over', state: held, resumable: start, resumeWithinMs: 3_600_000 })
    expect(resumableState(handedOver as EndedStatus)).toBe(start)
    expect(withState(handedOver, rolledBack)).toEqual(ended)
  })

  test('is interrupted by a cancel, and keeps the state to resume from and the error so far', () => {
    expect(asInterrupted(running, rolledBack)).toEqual({ kind: 'interrupted', state: rolledBack, resumable: start })
    expect(asInterrupted({ ...ended, error: 'no' }, held)).toEqual({
      kind: 'interrupted',
      state: held,
      resumable: rolledBack,
      error: 'no',
    })
  })

  test.each([unsafe, lost])('stays $kind when it is cancelled', (status) => {
    expect(asInterrupted(status, held)).toEqual({ ...status, state: held })
  })

  test('is lost with a new state and error when it was running, and keeps both when it had ended', () => {
    expect(asLost(running, held, 'run 8 took over')).toEqual({ ...lost, state: held })
    expect(asLost({ ...ended, error: 'no' }, held, 'run 8 took over')).toEqual({ ...lost, error: 'no' })
  })

  test('is unsafe when the rollback cannot be written, also once the Lease is lost', () => {
    expect(asUnsafe(ended, 'no answer')).toEqual(unsafe)
    expect(asUnsafe(ended)).toEqual({ kind: 'unsafe', state: rolledBack })
    expect([running, ended, lost, unsafe].map(isSafe)).toEqual([true, true, true, false])
    expect(isSafe(asUnsafe(lost))).toBe(false)
    expect(isSafe(asLost(unsafe, held, 'run 8 took over'))).toBe(false)
  })

  test('names the service whose failure rolled it back, as the last rollback says', () => {
    const together = withRolledBackWith(ended, 'reviews')
    expect(together).toEqual({ ...ended, rolledBackWith: 'reviews' })
    expect(asLost(together, held, 'run 8 took over').rolledBackWith).toBe('reviews')
    expect(withRolledBackWith(together, undefined)).toEqual(ended)
  })
})

describe('a promotion counts as rolled back', () => {
  test('when it had traffic, and its weight 0 is written', () => {
    expect([running, ended, unsafe].map(isRolledBack)).toEqual([false, true, false])
    expect(isRolledBack({ ...ended, state: held })).toBe(false)
  })

  test('unless it never had traffic', () => {
    const unused = endOnStable(initialState(planOf(), 0, 0), 'rolled-back', 'no pods', 1_000).state
    expect(isRolledBack({ ...ended, state: unused })).toBe(false)
  })
})

describe('a later run resumes', () => {
  test('a cancelled promotion from before the cancel', () => {
    expect(resumableState({ kind: 'interrupted', state: rolledBack, resumable: start })).toBe(start)
  })

  test('a promotion that stops where the plan says, and no other', () => {
    const planned = { ...held, verdict: 'held', asPlanned: true } as const
    expect(resumableState({ ...ended, state: planned })).toBe(planned)
    expect([ended, { ...ended, state: held }].map(resumableState)).toEqual([undefined, undefined])
  })
})
