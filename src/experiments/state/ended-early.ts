// The end of an experiment whose run cannot wait until the counters show the recovery. Pure.
import { isInjected } from './machine.ts'
import { recordOf } from './record.ts'
import type { EndedState, State } from './types.ts'

/** `failure`: why the fault could not be removed, if it could not. */
export function endedEarly(before: State, reason: string, failure: string | undefined, now: number): EndedState {
  const problem =
    failure === undefined
      ? `${reason} before the counters could show the recovery`
      : `the fault could not be removed (${failure}); the guard continues to try`
  return {
    ...recordOf(before),
    phase: 'ended',
    since: now,
    timeline: [...before.timeline, { phase: 'ended', at: now }],
    outcome: { verdict: 'inconclusive', reason },
    recovery: isInjected(before)
      ? { kind: 'unconfirmed', problem, isRemoved: failure === undefined }
      : { kind: 'unneeded' },
  }
}
