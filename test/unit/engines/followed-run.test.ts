import { expect, test } from 'vitest'
import { addRequests } from '../../../src/canary/analysis/request-counts.ts'
import type { Observer } from '../../../src/canary/metrics/observer.ts'
import { timeToDetect } from '../../../src/canary/state/ending.ts'
import { initialState } from '../../../src/canary/state/start.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { FollowContext } from '../../../src/engines/context.ts'
import { engineOf, type Engine } from '../../../src/engines/engine.ts'
import { FollowedRun } from '../../../src/engines/followed-run.ts'
import type { RolloutProgress } from '../../../src/engines/progress.ts'
import { FakeClock } from '../fake-clock.ts'
import { clusterWith, configOf, served } from '../fixtures.ts'
import { rollout } from './fixtures.ts'

const before: RolloutProgress = { phase: 'promoted', revision: 'old', weight: 100, where: '', reason: '' }
const waiting: RolloutProgress = { ...before, phase: 'waiting' }
const moving: RolloutProgress = { ...before, phase: 'moving', revision: 'new', weight: 20 }
const promoted: RolloutProgress = { ...before, revision: 'new' }
const conflict = new ApiError(422, 'the test failed')
/** As many looks as the checks need to pass. */
const proving = Array.from({ length: 150 }, () => moving)
const failed: RolloutProgress = { ...moving, phase: 'failed', weight: 0, reason: 'aborted' }

type Script = {
  /** What the engine says at each look; the last one lasts. After an abort: `afterAbort`. */
  says: (RolloutProgress | ApiError | 'gone')[]
  afterAbort?: RolloutProgress
  failures?: number
  plan?: string
  hasChanged?: boolean
  resumeAt?: string
  abort?: () => Promise<unknown>
}

/** A run that follows an engine by this script, with ten requests of the canary in each poll. */
function follow({ says, afterAbort, failures = 0, plan = '', hasChanged = true, abort, resumeAt }: Script) {
  const clock = new FakeClock()
  const [notes, warnings, aborts]: [string[], string[], string[]] = [[], [], []]
  let look = 0
  let now = says[0]!
  const engine: Engine = {
    ...engineOf('argo-rollouts'),
    read: () => {
      now = aborts.length > 0 && afterAbort ? afterAbort : says[Math.min(look++, says.length - 1)]!
      if (now instanceof ApiError) return Promise.reject(now)
      return Promise.resolve(now === 'gone' ? undefined : { object: rollout() })
    },
    progress: () => now as RolloutProgress,
    abort: async (_, __, revision) => {
      aborts.push(revision)
      await abort?.()
      return true
    },
  }
  const observer: Observer = {
    baseline: served(0),
    canaries: () => [],
    health: () => ({ ready: true }),
    sample: () => {
      const [canary, stable] = [served(10, failures), served(40)]
      const observed = { canary, stable, users: addRequests(canary, stable), ready: true, complete: true }
      return Promise.resolve({ observed, health: { ready: true }, countsAll: true, canaryTries: 0 })
    },
  }
  const config = configOf(
    `canary: { service: backend, engine: argo-rollouts, warmup: 0, progressDeadline: 20s, ${plan} }`,
  )
  const context = {
    cluster: clusterWith({ list: () => Promise.resolve([]) }),
    config,
    plan: { ...config.canary!, steps: [20, 100] },
    split: { namespace: 'shop', service: 'backend', stable: config.canary!.stable, canary: config.canary!.canary },
    engine,
    type: 'argo-rollouts',
    name: 'backend',
    title: 'Rollout shop/backend',
    noticeMs: 20_000,
    looksEveryMs: 0,
    uid: 'r1',
    from: 'old',
    isBegun: !hasChanged,
    template: engine.template({ object: rollout() }),
    resumeAt,
    watched: { pods: [], workloads: [], routes: [] },
    deps: {
      clock,
      signal: new AbortController().signal,
      note: (line: string) => notes.push(line),
      warn: (line: string) => warnings.push(line),
    },
    events: { next: () => [], lastWarning: () => undefined, close: () => undefined },
    observe: () => Promise.resolve(observer),
  } as unknown as FollowContext
  const run = new FollowedRun(context, initialState(context.plan, 0, clock.now()), { stable: {}, canary: {} })
  /** Polls once a second, until it has ended. */
  const toEnd = async () => {
    for (let i = 0; i < 200 && run.isBusy; i++) {
      await run.tick()
      await clock.sleep(1_000)
    }
    return run.conclude({ fast: true })
  }
  return { run, clock, notes, warnings, aborts, toEnd }
}

test('the revision that an image brings is followed to its promotion', async () => {
  const { toEnd, aborts, run } = follow({ says: [waiting, before, ...proving, promoted] })
  expect(run.intent.followed).toEqual({ type: 'argo-rollouts', name: 'backend', from: 'old' })
  const { verdict, reason, weight, steps } = await toEnd()
  expect({ verdict, weight }).toEqual({ verdict: 'promoted', weight: 100 })
  expect(reason).toMatch(/promoted the revision new/)
  expect(steps.map(({ weight, outcome }) => [weight, outcome])).toEqual([[20, 'passed']])
  expect(aborts).toEqual([])
})

test('what people see of it is where the engine is, and what was served, not steps that nobody wrote', async () => {
  const { toEnd, run, notes } = follow({ says: [waiting, ...proving, promoted] })
  expect(run.where).toBe('moved by Argo Rollouts, which has not been read yet')
  await run.tick()
  await run.tick()
  expect(run.where).toBe(`moved by Argo Rollouts: moving, ${moving.where}, weight 20%`)
  const { timeline = [], steps } = await toEnd()
  const served = timeline.reduce((sum, { canary }) => sum + canary.requests, 0)
  expect(served).toBe(steps[0]!.canary.requests)
  expect(served).toBeGreaterThan(100)
  const samples = notes.filter((line) => line.includes('canary '))
  expect(samples.length).toBeLessThan(timeline.length / 5)
  expect(samples.join()).not.toContain('left')
})

test('an undecided promotion is inconclusive, or a warning if the user accepts it', async () => {
  const few = follow({ says: [moving, promoted] })
  const undecided = expect.stringMatching(/has promoted .* the evidence of this run is undecided/) as string
  expect(await few.toEnd()).toMatchObject({ verdict: 'inconclusive', engineVerdict: 'promoted', error: undecided })
  const accepted = follow({ says: [moving, promoted], plan: 'onInconclusive: promote' })
  const ended = await accepted.toEnd()
  expect(ended).toMatchObject({ verdict: 'promoted', engineVerdict: 'promoted' })
  expect(ended).not.toHaveProperty('error')
  expect(accepted.warnings.join()).toMatch(/^canary: the evidence of this run is undecided/)
})

test('a canary that fails is aborted, once the engine has returned the traffic', async () => {
  const { toEnd, aborts } = follow({ says: [moving], failures: 5, afterAbort: failed })
  const ended = await toEnd()
  expect(ended).toMatchObject({ verdict: 'rolled-back', weight: 0 })
  expect(timeToDetect(ended)).toBeLessThan(10_000)
  expect(aborts[0]).toBe('new')
  expect(ended.steps.map(({ outcome }) => outcome)).toEqual(['failed'])
})

test('an abort that meets a write of the engine is repeated', async () => {
  let times = 0
  const abort = () => (++times === 1 ? Promise.reject(new ApiError(422, 'the test failed')) : Promise.resolve())
  const { toEnd, aborts } = follow({ says: [moving], failures: 5, abort })
  expect(await toEnd()).toMatchObject({ verdict: 'inconclusive' })
  expect(aborts.length).toBeGreaterThan(2)
})

test('a rollback of the engine itself needs no abort', async () => {
  const { toEnd, aborts } = follow({ says: [moving, failed] })
  expect(await toEnd()).toMatchObject({
    verdict: 'rolled-back',
    reason: 'Argo Rollouts has rolled the canary back: aborted',
  })
  expect(aborts).toEqual([])
})

test('an engine that fails a rollout and leaves it its traffic is told to abort', async () => {
  const { toEnd, aborts } = follow({ says: [moving, { ...failed, weight: 20 }], afterAbort: failed })
  expect(await toEnd()).toMatchObject({ verdict: 'rolled-back' })
  expect(aborts).not.toEqual([])
})

test('a cancelled run aborts, or lets the engine go on', async () => {
  const aborted = follow({ says: [moving], afterAbort: failed })
  await aborted.run.tick()
  await aborted.run.cancel('the run was cancelled')
  expect(aborted.run.state).toMatchObject({ verdict: 'rolled-back' })
  const held = follow({ says: [moving], plan: 'onCancel: hold' })
  await held.run.tick()
  await held.run.cancel('the run was cancelled')
  expect(held.run.state).toMatchObject({
    verdict: 'held',
    reason: expect.stringContaining('goes on by itself') as string,
  })
  expect(held.aborts).toEqual([])
})

test('a cancel that comes while the engine promotes says that it is too late', async () => {
  const { run } = follow({ says: [moving, { ...moving, phase: 'promoting' }], abort: () => Promise.reject(conflict) })
  await run.tick()
  await run.tick()
  await run.cancel('the run was cancelled')
  expect(run.state).toMatchObject({
    verdict: 'inconclusive',
    reason:
      'the run was cancelled; Argo Rollouts gives the version of the canary to stable already, so the rollout cannot be aborted',
  })
})

test('an abort that the engine has not followed yet is left to the post step', async () => {
  const { run } = follow({ says: [moving] })
  await run.tick()
  await run.cancel('the run was cancelled')
  expect(run.state).toMatchObject({ verdict: 'inconclusive' })
  expect(run.isSafe).toBe(false)
})

test('what the run cannot see ends without a verdict, and the engine goes on', async () => {
  const gone = await follow({ says: [moving, 'gone'] }).toEnd()
  expect(gone).toMatchObject({ verdict: 'inconclusive', error: expect.stringContaining('was deleted') as string })
  const silent = follow({ says: [moving, new ApiError(503, 'unavailable')] })
  expect(await silent.toEnd()).toMatchObject({ error: expect.stringContaining('goes on by itself') as string })
  expect(silent.aborts).toEqual([])
})

test('a short silence of the API server is waited out', async () => {
  const silence = Array.from({ length: 5 }, () => new ApiError(503, 'unavailable'))
  expect(await follow({ says: [moving, ...silence, ...proving, promoted] }).toEnd()).toMatchObject({
    verdict: 'promoted',
  })
})

test('a canary is aborted together with one of another service', async () => {
  const { run, toEnd } = follow({ says: [moving], afterAbort: failed })
  await run.tick()
  await run.rollBack('rolled back together with front', 'front')
  expect(await toEnd()).toMatchObject({ verdict: 'rolled-back', rolledBackWith: 'front' })
})

test('a rollout that was applied before is followed by its revision', async () => {
  const { run, toEnd } = follow({
    says: [...proving.map((each) => ({ ...each, revision: 'old' })), before],
    hasChanged: false,
  })
  expect(run.intent.followed).toEqual({ type: 'argo-rollouts', name: 'backend', revision: 'old' })
  expect(await toEnd()).toMatchObject({ verdict: 'promoted' })
})

test('an approval that the config gives ends the pause once the evidence suffices', async () => {
  const paused = { ...moving, phase: 'approval', where: 'step 2 of 4, pause' } as const
  const proven = follow({
    says: [...proving.slice(0, 50), ...Array.from({ length: 60 }, () => paused), promoted],
    resumeAt: paused.where,
  })
  await proven.toEnd()
  expect(proven.notes.join('\n')).toMatch(/ends the pause at weight 20/)
  const failing = follow({ says: [paused], failures: 5, afterAbort: failed, resumeAt: paused.where })
  expect(await failing.toEnd()).toMatchObject({ verdict: 'rolled-back' })
  expect(failing.notes.join('\n')).not.toMatch(/ends the pause/)
})

test('a controller that stops in the middle ends the run, whether the canary is condemned or not', async () => {
  const silent = { ...moving, phase: 'waiting' } as const
  expect(await follow({ says: [moving, moving, silent] }).toEnd()).toMatchObject({
    verdict: 'inconclusive',
    engineVerdict: 'running',
    error: expect.stringMatching(/has not acted on .* for 20 s/) as string,
  })
  expect(await follow({ says: [moving, moving, silent], failures: 5 }).toEnd()).toMatchObject({
    verdict: 'inconclusive',
    error: expect.stringMatching(/has not followed the abort/) as string,
  })
})

test('one that is held at its approval returns with one of another service', async () => {
  const held = { ...moving, phase: 'approval', weight: 50 } as const
  const { run, toEnd } = follow({ says: [...proving, held], afterAbort: failed })
  await toEnd()
  expect(run.state).toMatchObject({ verdict: 'held' })
  await run.rollBack('rolled back together with front', 'front')
  expect((await run.conclude({ fast: true })).error).toMatch(/has not returned its traffic/)
  expect(run.isSafe).toBe(false)
})
