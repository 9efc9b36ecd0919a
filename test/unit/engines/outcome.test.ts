import { expect, test } from 'vitest'
import { initialState } from '../../../src/canary/state/start.ts'
import type { ActiveState } from '../../../src/canary/state/types.ts'
import { doubtOf, judge } from '../../../src/engines/judge.ts'
import { endingOf, type EndingInput } from '../../../src/engines/outcome.ts'
import type { RolloutProgress } from '../../../src/engines/progress.ts'
import { addRequests, type RequestCounts } from '../../../src/canary/analysis/request-counts.ts'
import { planOf, served } from '../fixtures.ts'

const plan = planOf('engine: argo-rollouts, warmup: 0, progressDeadline: 60s')
const moving: RolloutProgress = { phase: 'moving', revision: 'new', weight: 20, where: 'step 1 of 4', reason: '' }

/**
 * The state after a minute at weight 20, with so many requests of the canary in each second. `failing`: this share of
 * both versions'.
 */
function after(requests: number, failing = 0): ActiveState {
  let state: ActiveState = initialState(plan, 0, 0)
  for (let second = 1; second <= 60; second++) {
    const [canary, stable] = [1, 4].map((times) => served(times * requests, times * requests * failing)) as [
      RequestCounts,
      RequestCounts,
    ]
    const observation = { canary, stable, users: addRequests(canary, stable), ready: true, complete: true }
    state = judge(plan, state, moving, { ...observation, findings: [], gates: {} }, second * 1_000).state
  }
  return state
}

const proven = after(20)
const unproven = after(1)

const followed = (progress: Partial<RolloutProgress>, more: Partial<EndingInput> = {}): EndingInput => ({
  plan,
  title: 'Rollout shop/backend',
  engine: 'Argo Rollouts',
  state: proven,
  progress: { ...moving, ...progress },
  revision: 'new',
  heldMs: 0,
  waitingMs: 0,
  abortingMs: 0,
  noticeMs: 60_000,
  looksEveryMs: 0,
  ...more,
})

test('a rollout under way has no ending', () => {
  expect(endingOf(followed({}))).toBeUndefined()
})

test('a promotion with every check passed says so', () => {
  const ending = endingOf(followed({ phase: 'promoted', weight: 100 }))
  expect(ending).toMatchObject({ verdict: 'promoted' })
  expect(ending!.reason).toBe(
    'Argo Rollouts has promoted the revision new of the Rollout shop/backend, and every check of this run passed',
  )
})

test('a promotion that the evidence does not support is none of this run, which says both', () => {
  const ending = endingOf(followed({ phase: 'promoted', weight: 100 }, { state: unproven }))
  expect(ending).toMatchObject({ verdict: 'inconclusive', engineVerdict: 'promoted', error: ending!.reason })
  expect(ending!.reason).toMatch(
    /has promoted the revision new .*; the evidence of this run is undecided: the evidence does not exclude/,
  )
})

test('a promotion without a request that this run saw says that', () => {
  const ending = endingOf(followed({ phase: 'promoted', weight: 100 }, { state: initialState(plan, 0, 0) }))
  expect(ending!.reason).toMatch(/undecided: this run saw no request of the canary/)
})

test('the user may accept a promotion that the evidence does not support, but not one that it speaks against', () => {
  const accepting = { plan: { ...plan, onInconclusive: 'promote' as const } }
  const promoted = { phase: 'promoted', weight: 100 } as const
  const accepted = endingOf(followed(promoted, { ...accepting, state: unproven }))
  expect(accepted).toMatchObject({ verdict: 'promoted', engineVerdict: 'promoted' })
  expect(accepted).not.toHaveProperty('error')
  expect(accepted!.reason).toMatch(/undecided: .*onInconclusive: promote/)
  const leaning = after(20, 0.5)
  expect(doubtOf(plan, leaning)).toMatchObject({ leansAgainst: true })
  expect(endingOf(followed(promoted, { ...accepting, state: leaning }))).toMatchObject({
    verdict: 'inconclusive',
    engineVerdict: 'promoted',
  })
})

test('a failed canary that was promoted before the abort is no success', () => {
  const ending = endingOf(followed({ phase: 'promoted', weight: 100 }, { condemned: 'it fails' }))
  expect(ending).toMatchObject({ verdict: 'inconclusive', error: expect.stringContaining('it fails') as string })
})

test('another revision is not what this run follows', () => {
  const rolledBack = endingOf(followed({ phase: 'promoted', revision: 'old', weight: 100 }))
  expect(rolledBack).toMatchObject({ verdict: 'inconclusive' })
  expect(rolledBack!.error).toMatch(/revision new .* was rolled back, or replaced: stable is old/)
  expect(endingOf(followed({ revision: 'newer' }))!.error).toMatch(/was replaced by newer/)
})

test('a rollback of the engine has its reason, one of this run its own', () => {
  const failed = { phase: 'failed', weight: 0, reason: 'metric "errors" assessed Failed' } as const
  expect(endingOf(followed(failed))).toEqual({
    verdict: 'rolled-back',
    engineVerdict: 'rolled-back',
    reason: 'Argo Rollouts has rolled the canary back: metric "errors" assessed Failed',
  })
  expect(endingOf(followed(failed, { condemned: '5 of 20 failed', detectMs: 4_000 }))).toEqual({
    verdict: 'rolled-back',
    engineVerdict: 'rolled-back',
    reason: '5 of 20 failed',
    timeToDetectMs: 4_000,
  })
})

test('a failed rollout that still has traffic is not rolled back yet', () => {
  expect(endingOf(followed({ phase: 'failed', weight: 20 }))).toBeUndefined()
})

test('an abort that nobody follows ends without a verdict', () => {
  const aborting = { condemned: 'it fails', abortingMs: 59_000 }
  expect(endingOf(followed({}, aborting))).toBeUndefined()
  expect(endingOf(followed({}, { ...aborting, abortingMs: 60_000 }))).toMatchObject({
    verdict: 'inconclusive',
    error: expect.stringContaining('has not followed the abort') as string,
  })
})

test('at an approval, the run ends as soon as the evidence is there', () => {
  expect(endingOf(followed({ phase: 'approval' }))).toMatchObject({
    verdict: 'held',
    asPlanned: true,
    reason: expect.stringContaining('every check of this run has passed') as string,
  })
  const early = { state: unproven }
  expect(endingOf(followed({ phase: 'approval' }, early))).toBeUndefined()
  expect(endingOf(followed({ phase: 'approval' }, { ...early, heldMs: 60_000 }))!.reason).toMatch(
    /evidence is undecided/,
  )
  expect(endingOf(followed({ phase: 'approval', weight: 0 }, early))).toMatchObject({
    verdict: 'held',
    asPlanned: true,
  })
})

test('an approval counts as missing only once the engine has looked for it', () => {
  const looking = { looksEveryMs: 10_000, heldMs: 14_000 }
  const [early, late] = [looking, { ...looking, heldMs: 15_000 }]
  expect(endingOf(followed({ phase: 'approval' }, early))).toBeUndefined()
  expect(endingOf(followed({ phase: 'approval' }, late))).toMatchObject({ verdict: 'held' })
  const before = { phase: 'approval', revision: 'old', weight: 0 } as const
  expect(endingOf(followed(before, { ...early, revision: undefined }))).toBeUndefined()
  expect(endingOf(followed(before, { ...late, revision: undefined }))).toMatchObject({ verdict: 'held' })
})

test('a rollout that somebody has stopped is held, and no success', () => {
  const ending = endingOf(followed({ phase: 'stopped', reason: 'manually paused' }))
  expect(ending).toMatchObject({ verdict: 'held', error: expect.stringContaining('manually paused') as string })
  expect(ending).not.toHaveProperty('asPlanned')
})

test('a controller that does not begin is named', () => {
  const waiting = { phase: 'waiting', revision: 'old', weight: 0 } as const
  expect(endingOf(followed(waiting, { revision: undefined, waitingMs: 59_000 }))).toBeUndefined()
  expect(endingOf(followed(waiting, { revision: undefined, waitingMs: 60_000 }))!.error).toMatch(
    /Argo Rollouts has not begun with the Rollout shop\/backend within 60 s .* controller runs/,
  )
})

test('a run that wrote nothing asks only a few times whether something follows a failure', () => {
  const failed = { phase: 'failed', revision: 'old', weight: 0, where: 'Failed' } as const
  const at = (waitingMs: number, wroteNothing: boolean) =>
    endingOf(
      followed(failed, { revision: undefined, waitingMs, noticeMs: 300_000, looksEveryMs: 10_000, wroteNothing }),
    )
  expect(at(29_000, true)).toBeUndefined()
  expect(at(30_000, true)!.error).toContain('has begun with no other within 30 s; change the image')
  expect(at(299_000, false)).toBeUndefined()
})

test('an approval before anything begins is held', () => {
  const ending = endingOf(followed({ phase: 'approval', revision: 'old', weight: 0 }, { revision: undefined }))
  expect(ending).toMatchObject({ verdict: 'held', asPlanned: true })
})

test('a run that joined a rollout says that what was seen before does not count', () => {
  const joined = { state: unproven, joinedAt: 40 }
  expect(endingOf(followed({ phase: 'promoted', weight: 100 }, joined))!.reason).toMatch(
    /\(it began at weight 40, and what an earlier run saw does not count\)/,
  )
})
