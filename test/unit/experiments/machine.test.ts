// The state machine of an experiment, without a cluster and without a clock.
import { describe, expect, test } from 'vitest'
import type { ExperimentConfig } from '../../../src/config/schema.ts'
import { abort, next, start } from '../../../src/experiments/state/machine.ts'
import { noMeshCounts } from '../../../src/experiments/state/mesh-counts.ts'
import type { Action, EndedState, Observation, State } from '../../../src/experiments/state/types.ts'
import { served } from '../fixtures.ts'
import { acts, experimentOf, isGone, nobody, seen } from './fixtures.ts'

/** Polls once a second with what `look` sees, until the experiment ends. */
function run(
  experiment: ExperimentConfig,
  look: (state: State, now: number) => Partial<Observation>,
): { state: EndedState; actions: Action[]; phases: string[] } {
  let state: State = start(experiment, 0)
  const actions: Action[] = []
  for (let now = 1_000; state.phase !== 'ended'; now += 1_000) {
    if (now > 1_000_000) throw new Error('the experiment never ends')
    const step = next(experiment, state, seen(look(state, now)), now)
    state = step.state
    actions.push(...step.actions)
  }
  return { state: state, actions, phases: state.timeline.map(({ phase }) => phase) }
}

/** The fault acts once it is injected, and is gone once it is to be removed; meanwhile the users get `during`. */
const usual =
  (during: Partial<Observation> = {}) =>
  (state: State) => {
    if (state.phase === 'injecting' || state.phase === 'observing') return { ...acts, ...during }
    return state.phase === 'recovering' ? isGone : {}
  }

const outcome = ({ state }: { state: EndedState }) => state.outcome

test('goes through its phases, injects once and recovers once', () => {
  const { state, actions, phases } = run(experimentOf(), usual())
  expect(phases).toEqual(['waiting', 'steady', 'injecting', 'observing', 'recovering', 'ended'])
  expect(actions).toEqual(['inject', 'recover'])
  expect(state.outcome.verdict).toBe('resilient')
  expect(state.recovery).toEqual({ kind: 'confirmed', seconds: 3 })
})

describe('nothing is injected', () => {
  test('without a guard', () => {
    const { state, actions } = run(experimentOf(), () => ({ isGuarded: false }))
    expect(actions).toEqual([])
    expect(state.outcome).toEqual({
      verdict: 'inconclusive',
      reason: 'the guard Job did not start within 15 s; nothing was injected',
    })
    expect(state.recovery).toEqual({ kind: 'unneeded' })
  })

  test('while the guard, which watched before, is gone; it may come back', () => {
    const gone = run(experimentOf(), ({ phase }) => ({ isGuarded: phase === 'waiting' }))
    expect(gone.actions).toEqual([])
    expect(gone.state.outcome.reason).toContain('the guard stopped watching, and did not come back within 15 s')
    const back = run(experimentOf(), (state, now) => ({ ...usual()(state), isGuarded: now < 5_000 || now > 20_000 }))
    expect(back.actions).toEqual(['inject', 'recover'])
    expect(back.state.timeline.find(({ phase }) => phase === 'injecting')!.at).toBe(21_000)
  })

  test.each([
    ['while too few users call', { users: served(1) }, 'fewer than `minRequests` (50)'],
    ['while a pod is not ready', { podsNotReady: 1 }, 'not steady before the fault: 1 of the pods are not ready'],
    [
      'while calls look already as the fault makes them',
      { signs: { calls: 50, faulted: 1 } },
      'not steady before the fault: 10 calls already look as if the fault concerned them',
    ],
    ['while users fail', { users: served(50, 2) }, 'not steady before the fault: 20 of 500 requests of users failed'],
  ])('%s', (_, more: Partial<Observation>, reason) => {
    const { state, actions } = run(experimentOf(), () => more)
    expect(actions).toEqual([])
    expect(state.outcome.reason).toContain(reason)
    expect(state.outcome.verdict).toBe('inconclusive')
  })

  test('while users are too slow', () => {
    const { state, actions } = run(experimentOf('expect: { p99: 500ms }'), () => ({ users: served(50, 0, 5) }))
    expect(actions).toEqual([])
    expect(state.outcome.reason).toContain('50 of 500 requests of users took longer than 500 ms')
  })
})

describe('the verdict', () => {
  test('is fragile if more users fail than expected', () => {
    const result = outcome(run(experimentOf(), usual({ users: served(50, 10) })))
    expect(result.verdict).toBe('fragile')
    expect(result.reason).toContain('requests of users failed (1% allowed)')
  })

  test('is fragile if users are slower than expected', () => {
    const result = outcome(run(experimentOf('expect: { p99: 500ms }'), usual({ users: served(50, 0, 10) })))
    expect(result.verdict).toBe('fragile')
    expect(result.reason).toContain('were too slow')
  })

  test('is inconclusive between the limit and its tolerance, and says that more requests are needed', () => {
    let polls = 0
    const result = outcome(
      run(experimentOf(), (state) => usual({ users: served(50, polls++ % 2 === 0 ? 1 : 0) })(state)),
    )
    expect(result.verdict).toBe('inconclusive')
    expect(result.reason).toContain('make `duration` longer')
  })

  test('is inconclusive if users stay away while the fault acts', () => {
    const result = outcome(run(experimentOf(), usual({ users: nobody.users })))
    expect(result.verdict).toBe('inconclusive')
  })

  test('is inconclusive if few users get answers while the fault acts: the others may still wait', () => {
    const longer = { ...experimentOf('', '{ podKill: { workload: deploy/backend } }'), duration: 60_000 }
    const result = outcome(run(longer, usual({ users: served(10) })))
    expect(result.verdict).toBe('inconclusive')
    expect(result.reason).toContain('users got answers at 20% of their rate before; the others may still wait')
    expect(outcome(run(longer, usual({ users: served(30) }))).verdict).toBe('resilient')
  })

  test('is not fragile for one burst within the limit on the whole', () => {
    let isFirst = true
    const result = outcome(
      run(experimentOf(), (state) => {
        if (state.phase !== 'observing' || !isFirst) return usual()(state)
        isFirst = false
        return { ...acts, users: served(50, 8) }
      }),
    )
    expect(result.verdict).not.toBe('fragile')
  })

  const retried = (count: number, isComplete = true) => ({
    mesh: { ...noMeshCounts, retries: { count, isComplete, isPublished: isComplete } },
  })

  test.each([
    ['some and there are some', 'some', 3, true, 'resilient'],
    ['some and there are none', 'some', 0, true, 'fragile'],
    ['none and there are some', 'none', 3, true, 'fragile'],
    ['some and nobody publishes them', 'some', 0, false, 'inconclusive'],
    ['none and nobody publishes them', 'none', 0, false, 'inconclusive'],
    ['many and there are more', '{ min: 10 }', 3, true, 'resilient'],
    ['few and there are more', '{ max: 10 }', 3, true, 'fragile'],
  ])('with expected retries %s is as it must be', (_, expected, count, isComplete, verdict) => {
    const experiment = experimentOf(`expect: { retries: ${expected} }`, '{ podKill: { workload: deploy/backend } }')
    expect(outcome(run(experiment, usual(retried(count, isComplete)))).verdict).toBe(verdict)
  })
})

test('without callers, nothing is known of what the mesh does, and the verdict claims nothing', () => {
  const experiment = experimentOf('expect: { retries: some }', '{ podKill: { workload: deploy/backend } }')
  const result = outcome(run(experiment, usual()))
  expect(result.verdict).toBe('inconclusive')
  expect(result.reason).toContain('expected at least 1 retries, and nobody called')
})

describe('the evidence is of the time in which the fault acts:', () => {
  test.each([0, 14_000])('a burst counts as much after %i ms until it does', (slow) => {
    const state = run({ ...experimentOf(), duration: 30_000 }, (state, now) => {
      const since = now - (state as { since: number }).since
      if (state.phase === 'injecting') return since <= slow && slow > 0 ? {} : acts
      if (state.phase === 'observing') return { ...acts, users: served(50, since <= 2_000 ? 20 : 0) }
      return usual()(state)
    }).state
    expect(state.acting.requests).toBe(31 * 50)
    expect(state.outcome.verdict).toBe('fragile')
  })

  test('the sample before the fault shows itself counts if it was written already', () => {
    let polls = 0
    const { state } = run(experimentOf(), (state) => {
      if (state.phase !== 'injecting') return usual()(state)
      polls++
      return polls < 5 ? { isWritten: polls > 2, users: served(50, polls) } : acts
    })
    expect(state.acting.failures).toBe(4)
  })

  const blind = { ...nobody, isWritten: true, podsNotReady: undefined, isBlind: true }
  test.each<[string, Partial<Observation>]>([
    ['no sidecar', blind],
    ['one caller', { ...acts, callersNotRead: 1 }],
  ])('what comes later, because %s could be read at its end, counts as well', (_, atEnd) => {
    const { state } = run(experimentOf(), (state, now) => {
      const since = now - (state as { since: number }).since
      if (state.phase === 'observing') return since < 15_000 ? acts : atEnd
      if (state.phase !== 'recovering' || since > 3_000) return usual()(state)
      const late = { users: served(1_000, 1_000), mesh: noMeshCounts }
      return { ...isGone, users: served(1_000, 1_000), late, callersNotRead: since < 2_000 ? 1 : 0 }
    })
    expect(state.outcome.verdict).toBe('fragile')
    expect(state.outcome.reason).toContain('2000 of')
    expect(state.recovery.kind).toBe('confirmed')
  })

  test('what others get after its end does not count', () => {
    const few = { isWritten: true, signs: { calls: 1, faulted: 1 }, users: served(5) }
    const { state } = run(experimentOf('', '{ podKill: { workload: deploy/backend } }'), (state, now) => {
      const since = now - (state as { since: number }).since
      if (state.phase === 'injecting' || state.phase === 'observing')
        return { ...few, callersNotRead: since >= 19_000 ? 1 : 0 }
      if (state.phase === 'recovering') return { ...isGone, callersNotRead: since < 15_000 ? 1 : 0 }
      return {}
    })
    expect(state.acting.requests).toBe(105)
    expect(state.outcome.verdict).toBe('inconclusive')
  })

  test('without what a caller counted that is never read again, there is no verdict', () => {
    const { state } = run(experimentOf(), (state) => ({
      ...usual()(state),
      callersNotRead: state.phase === 'observing' || state.phase === 'recovering' ? 1 : 0,
    }))
    expect(state.outcome.verdict).toBe('inconclusive')
    expect(state.outcome.reason).toContain('the counters of some callers could not be read')
    expect(state.recovery).toMatchObject({ kind: 'unconfirmed', isRemoved: true })
  })
})

describe('users who are not counted', () => {
  const with40 = { ...served(50), origins: { tries: 50, withoutSidecar: 20 } }

  test('are noticed before anything is injected', () => {
    const { actions, state } = run(experimentOf(), () => ({ users: with40 }))
    expect(actions).toEqual([])
    expect(state.outcome.reason).toContain('40% of the requests come from callers whose sidecars are not read')
  })

  test('make a good result say nothing if they come later', () => {
    const result = outcome(run(experimentOf(), usual({ users: with40 })))
    expect(result.verdict).toBe('inconclusive')
    expect(result.reason).toContain('40% of the requests')
  })
})

describe('a fault that shows itself', () => {
  const shows = (faulted: (since: number) => number, settings = '{ abort: { status: 503, percent: 20% } }') =>
    run(experimentOf('', settings), (state, now) => {
      const since = now - (state as { since: number }).since
      return state.phase === 'observing' ? { ...acts, signs: { calls: 50, faulted: faulted(since) } } : usual()(state)
    }).state.outcome

  test.each<[string, (since: number) => number, string]>([
    ['once', () => 0, 'the fault showed itself in only 1 of 10 parts of its time'],
    ['until shortly before its end', (since) => (since < 15_000 ? 10 : 0), 'not in the last part of its time'],
  ])('%s gives no verdict', (_, faulted, reason) => {
    const { verdict, reason: given } = shows(faulted)
    expect(verdict).toBe('inconclusive')
    expect(given).toContain(reason)
  })

  test('in far fewer calls than it should concern gives no verdict', () => {
    expect(shows(() => 1, '{ abort: { status: 503, percent: 50% } }').verdict).toBe('inconclusive')
    const scoped = '{ abort: { status: 503, percent: 50%, match: { headers: { team: shop } } } }'
    expect(shows(() => 1, scoped).verdict).toBe('resilient')
  })

  test.each<[string, (since: number) => { calls: number; faulted: number }]>([
    ['in the only call', () => ({ calls: 0, faulted: 0 })],
    ['in few calls', (since) => (since % 10_000 === 0 ? { calls: 1, faulted: 1 } : { calls: 0, faulted: 0 })],
    ['until few calls were left', (since) => (since < 6_000 ? { calls: 50, faulted: 50 } : { calls: 1, faulted: 0 })],
  ])('%s gives no verdict', (_, signs) => {
    const { state } = run(experimentOf('', '{ abort: { status: 503 } }'), (state, now) => {
      if (state.phase === 'injecting') return { isWritten: true, signs: { calls: 1, faulted: 1 } }
      if (state.phase !== 'observing') return usual()(state)
      return { isWritten: true, signs: signs(now - state.since) }
    })
    expect(state.outcome.verdict).toBe('inconclusive')
  })

  test('now and then acts, if so few calls have to get it', () => {
    const rarely = (since: number) => (since % 5_000 === 0 ? 1 : 0)
    expect(shows(rarely, '{ abort: { status: 503, percent: 1% } }').verdict).toBe('resilient')
  })

  test('in busy moments only acts where it is a connection limit', () => {
    const busy = (since: number) => (since % 5_000 === 0 ? 3 : 0)
    expect(shows(busy).verdict).toBe('inconclusive')
    expect(shows(busy, '{ overload: {} }').verdict).toBe('resilient')
    expect(shows(() => 0, '{ overload: {} }').verdict).toBe('inconclusive')
  })

  test('once is enough where it kills a pod', () => {
    expect(shows(() => 0, '{ podKill: { workload: deploy/backend } }').verdict).toBe('resilient')
  })
})

describe('the fault is removed early', () => {
  test('when an outage follows good minutes, within seconds', () => {
    const { state } = run({ ...experimentOf(), duration: 600_000 }, (state, now) => {
      if (state.phase !== 'observing') return usual()(state)
      return { ...acts, users: served(50, now - state.since > 300_000 ? 50 : 0) }
    })
    const at = (phase: string) => state.timeline.find((each) => each.phase === phase)!.at
    expect(at('recovering') - at('observing') - 300_000).toBeLessThan(10_000)
    expect(state.outcome.verdict).toBe('fragile')
  })

  test('not for a second in which all users fail', () => {
    const { phases, state } = run({ ...experimentOf(), duration: 180_000 }, (state, now) => {
      if (state.phase !== 'observing') return usual()(state)
      return { ...acts, users: served(50, now - state.since === 60_000 ? 50 : 0) }
    })
    expect(phases).toContain('observing')
    expect(state.outcome.reason).not.toContain('stopBelow')
  })

  test('when users fail before the fault is seen to act, without a verdict', () => {
    const { state } = run(experimentOf(), (state) =>
      state.phase === 'injecting' ? { users: served(50, 50) } : usual()(state),
    )
    expect(state.outcome.verdict).toBe('inconclusive')
    expect(state.outcome.reason).toContain('than `stopBelow` allows, before the fault showed itself')
  })

  test('when fewer users succeed than the experiment may cost', () => {
    const { state, phases } = run(experimentOf('stopBelow: 50%'), usual({ users: served(50, 40) }))
    expect(state.outcome.verdict).toBe('fragile')
    expect(state.outcome.reason).toContain('`stopBelow`')
    expect(phases).not.toContain('observing')
    expect(phases).toContain('recovering')
  })

  test('when somebody else changes what it wrote', () => {
    const { state } = run(experimentOf(), usual({ disturbed: ['somebody else changed it'] }))
    expect(state.outcome).toEqual({ verdict: 'inconclusive', reason: 'somebody else changed it' })
  })

  test('when no counter can be read for ten seconds', () => {
    const { state } = run({ ...experimentOf(), duration: 600_000 }, (state, now) => {
      if (state.phase !== 'observing') return usual()(state)
      return now - state.since > 60_000 ? { ...nobody, isWritten: true, isBlind: true } : acts
    })
    expect(state.outcome.reason).toBe('no counter of any sidecar could be read for 10 s')
    const at = (phase: string) => state.timeline.find((each) => each.phase === phase)!.at
    expect(at('recovering') - at('observing')).toBe(71_000)
  })

  test('when the run is aborted', () => {
    const experiment = experimentOf()
    const states = [start(experiment, 0)]
    for (let now = 1_000; now < 14_000; now += 1_000) {
      const before = states.at(-1)!
      states.push(next(experiment, before, seen(usual()(before)), now).state)
    }
    expect(abort(states[3]!, 'cancelled', 4_000)).toMatchObject({ state: { phase: 'ended' }, actions: [] })
    expect(abort(states.at(-1)!, 'cancelled', 14_000)).toMatchObject({
      state: { phase: 'recovering', outcome: { verdict: 'inconclusive', reason: 'cancelled' } },
      actions: ['recover'],
    })
  })
})

describe('a fault that does not show', () => {
  test.each([
    [
      'because it is not written',
      '{ abort: { status: 503 } }',
      { isWritten: false },
      'could not be written within 15 s',
    ],
    ['because no request meets it', '{ abort: { status: 503 } }', { isWritten: true }, 'no sidecar counted a request'],
    ['because no limit is reached', '{ overload: {} }', { isWritten: true }, 'the limit was never reached'],
    ['because no pod may go', '{ podKill: { workload: deploy/backend } }', {}, 'no pod was evicted within 15 s'],
  ])('%s makes the experiment inconclusive, and is removed', (_, inject, during, reason) => {
    const { state, actions } = run(experimentOf('', inject), (state) =>
      state.phase === 'recovering' ? isGone : state.phase === 'injecting' ? during : {},
    )
    expect(state.outcome.verdict).toBe('inconclusive')
    expect(state.outcome.reason).toContain(reason)
    expect(actions).toContain('recover')
  })
})

describe('the recovery', () => {
  test('is repeated until the fault is removed', () => {
    let polls = 0
    const { actions, state } = run(experimentOf(), (state) =>
      state.phase === 'recovering' && polls++ < 5 ? acts : usual()(state),
    )
    expect(actions.filter((each) => each === 'recover')).toHaveLength(6)
    expect(state.recovery.kind).toBe('confirmed')
  })

  test('that never succeeds is left to the guard, and the verdict claims nothing', () => {
    const { state } = run(experimentOf(), (state) => (state.phase === 'recovering' ? acts : usual()(state)))
    expect(state.outcome.verdict).toBe('inconclusive')
    expect(state.recovery).toMatchObject({ kind: 'unconfirmed', isRemoved: false })
  })

  test('is not confirmed while the sidecars still apply the fault', () => {
    const { state } = run(experimentOf(), (state) =>
      state.phase === 'recovering' ? { ...isGone, signs: { calls: 50, faulted: 3 } } : usual()(state),
    )
    expect(state.outcome.verdict).toBe('inconclusive')
    expect(state.recovery).toMatchObject({ kind: 'unconfirmed', isRemoved: false })
    expect(state.outcome.reason).toContain('the sidecars still apply it')
  })

  test.each([
    ['users still fail', { users: served(50, 20) }, '20'],
    ['pods are not back', { podsNotReady: 1 }, '1 of the pods are not ready'],
  ])('that takes too long because %s is fragile', (_, after, reason) => {
    const { state } = run(experimentOf(), (state) =>
      state.phase === 'recovering' ? { ...isGone, ...after } : usual()(state),
    )
    expect(state.outcome.verdict).toBe('fragile')
    expect(state.outcome.reason).toContain(reason)
  })

  test('is seen where users call less than once a second', () => {
    const times = { steadyState: 100_000, duration: 600_000, recoverWithin: 100_000 }
    const { state } = run({ ...experimentOf(), ...times }, (state, now) => ({
      ...usual()(state),
      users: now % 4_000 === 0 ? nobody.users : served(1),
    }))
    expect(state.recovery.kind).toBe('confirmed')
  })

  test('is not confirmed while most users stay away, and the verdict claims nothing', () => {
    const { state } = run(experimentOf(), (state) =>
      state.phase === 'recovering' ? { ...isGone, users: served(4) } : usual()(state),
    )
    expect(state.outcome.verdict).toBe('inconclusive')
    expect(state.outcome.reason).toContain('users call at 8% of their rate before the fault')
  })

  test('without users is not confirmed, and the verdict claims nothing', () => {
    const { state } = run(experimentOf(), (state) =>
      state.phase === 'recovering' ? { ...isGone, ...nobody } : usual()(state),
    )
    expect(state.outcome.verdict).toBe('inconclusive')
    expect(state.outcome.reason).toContain('too few requests of users (0)')
    expect(state.recovery).toMatchObject({ kind: 'unconfirmed', isRemoved: false })
  })

  test.each<[string, string, number, string]>([
    ['without calls that would meet the fault', '{ abort: { status: 503, service: db } }', 0, 'unconfirmed'],
    ['with such calls', '{ abort: { status: 503, service: db } }', 2, 'confirmed'],
    ['without such calls, if it kills pods', '{ podKill: { workload: deploy/backend } }', 0, 'confirmed'],
  ])('%s (%s, %i calls) is %s', (_, inject, calls, kind) => {
    const { state } = run(experimentOf('', inject), (state) =>
      state.phase === 'recovering' ? { ...isGone, signs: { calls, faulted: 0 } } : usual()(state),
    )
    expect(state.recovery.kind).toBe(kind)
    if (kind === 'confirmed') return
    expect(state.outcome.verdict).toBe('inconclusive')
    expect(state.outcome.reason).toContain(
      'too few calls to the target of the fault (0) to see that no sidecar applies',
    )
    expect(state.recovery).toMatchObject({ isRemoved: false })
  })

  test('without calls that would meet the fault leaves a fragile verdict as it is', () => {
    const broken = { ...acts, users: served(50, 20) }
    const { state } = run(experimentOf('', '{ abort: { status: 503, service: db } }'), (state) =>
      state.phase === 'recovering' ? { ...isGone, signs: { calls: 0, faulted: 0 } } : usual(broken)(state),
    )
    expect(state.outcome.verdict).toBe('fragile')
    expect(state.outcome.reason).toMatch(
      /^\d+ of \d+ requests of users failed.*; no recovery was seen within .* too few calls/,
    )
    expect(state.recovery).toMatchObject({ kind: 'unconfirmed', isRemoved: false })
  })

  test.each<[string, Partial<Observation>, string]>([
    ['is confirmed with users', {}, 'confirmed'],
    ['leaves nothing to guard without users', nobody, 'unconfirmed'],
  ])('of a fault that was never sent needs no calls, and %s', (_, users, kind) => {
    const unsent = { ...nobody, wasSent: false, ...users }
    const { state } = run(experimentOf('', '{ abort: { status: 503, service: db } }'), ({ phase }) => {
      if (phase === 'recovering') return { ...unsent, isRemoved: true, users: users.users ?? served(50) }
      return phase === 'injecting' ? { wasSent: false } : {}
    })
    expect(state.outcome.verdict).toBe('inconclusive')
    expect(state.recovery.kind).toBe(kind)
    if (state.recovery.kind === 'unconfirmed') expect(state.recovery.isRemoved).toBe(true)
  })

  describe('from a fault of a small share', () => {
    const rare = { ...experimentOf('', '{ abort: { status: 503, percent: 1%, service: db } }'), duration: 120_000 }
    /** Of 12 calls a second, one shows the fault every ten seconds. */
    const acting = (now: number) => ({ signs: { calls: 12, faulted: now % 10_000 === 0 ? 1 : 0 } })
    const runRare = (after: (now: number) => Partial<Observation>) =>
      run(rare, (state, now) =>
        state.phase === 'recovering'
          ? { ...isGone, signs: { calls: 12, faulted: 0 }, ...after(now) }
          : { ...usual(acting(now))(state) },
      ).state

    test('waits for the calls after the users are back', () => {
      const state = runRare(() => ({}))
      expect(state.outcome.verdict).toBe('resilient')
      expect(state.recovery).toEqual({ kind: 'confirmed', seconds: 3 })
      const recovering = state.timeline.find(({ phase }) => phase === 'recovering')!
      expect(state.since - recovering.at).toBeGreaterThan(40_000)
    })

    test('says how long it takes if calls have become fewer', () => {
      const { outcome, recovery } = runRare(() => ({ signs: { calls: 4, faulted: 0 } }))
      expect(outcome.verdict).toBe('inconclusive')
      expect(outcome.reason).toMatch(
        /within \d\d s after.* too few calls .*; let more calls meet the fault, or raise `recoverWithin` to \d{3} s/,
      )
      expect(recovery).toMatchObject({ kind: 'unconfirmed', isRemoved: false })
    })

    test('gives users no more time for it', () => {
      const { outcome } = runRare(() => ({ users: served(50, 20) }))
      expect(outcome.verdict).toBe('fragile')
      expect(outcome.reason).toContain('no recovery was seen within 20 s after')
    })
  })

  test.each<[string, string, Partial<Observation>, string]>([
    ['was never written', '{ abort: { status: 503 } }', { isWritten: false }, 'the run gave up injecting the fault'],
    ['never showed itself', '{ abort: { status: 503 } }', { isWritten: true }, 'the fault was removed'],
  ])('that takes too long is not fragile if the fault %s', (_, inject, during, since) => {
    const { state } = run(experimentOf('', inject), (state) => {
      if (state.phase === 'recovering') return { ...during, isRemoved: true, users: served(50, 20) }
      return state.phase === 'injecting' ? during : {}
    })
    expect(state.outcome.verdict).toBe('inconclusive')
    expect(state.outcome.reason).toContain(`no recovery was seen within 20 s after ${since}`)
  })
})
