// What a run cannot see does not end well.
import { expect, test } from 'vitest'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { argo, flagger, followLooks, times, type Look } from './followed-objects.ts'

const moving = { phase: 'Progressing', currentPodHash: 'new', stableRS: 'old' }

test('Argo Rollouts goes on later where it has only given up waiting', async () => {
  const message = 'ProgressDeadlineExceeded: ReplicaSet "backend-new" has timed out progressing.'
  const { toEnd } = followLooks({
    type: 'argo-rollouts',
    looks: [argo(moving, 0), argo({ ...moving, phase: 'Degraded', message }, 0)],
  })
  expect(await toEnd()).toMatchObject({
    verdict: 'held',
    error: expect.stringContaining('ProgressDeadlineExceeded') as string,
  })
})

test('weights of a watch that is out of date do not show that the traffic is back', async () => {
  const { toEnd } = followLooks({
    type: 'argo-rollouts',
    areRoutesFresh: false,
    looks: [argo(moving), argo({ ...moving, phase: 'Degraded', abort: true }, 0)],
  })
  expect(await toEnd()).toMatchObject({ verdict: 'inconclusive' })
})

test('requests that reach no version speak against a promotion', async () => {
  const promoted = { ...moving, phase: 'Healthy', stableRS: 'new' }
  const { toEnd } = followLooks({
    type: 'argo-rollouts',
    unserved: 500,
    plan: 'onInconclusive: promote',
    looks: [...times(30, argo(moving, 50)), argo(promoted, 0)],
  })
  expect(await toEnd()).toMatchObject({
    verdict: 'inconclusive',
    engineVerdict: 'promoted',
    reason: expect.stringMatching(/requests of users failed before they reached any version/) as string,
  })
})

test('a gate of Flagger that closes in the middle leaves the canary its traffic, which is judged', async () => {
  const waiting = { phase: 'Waiting', lastAppliedSpec: 'new', canaryWeight: 20 }
  const look = flagger(waiting, 'shop:2', 'shop:1')
  const joined = { type: 'flagger' as const, looks: [look], from: 'new', isBegun: true }
  const healthy = await followLooks(joined).toEnd()
  expect(healthy.reason).toMatch(/^Flagger waits for approval \(Waiting, weight 20\)/)
  expect(healthy.steps[0]!.canary.requests).toBeGreaterThan(0)
  const failing = followLooks({ ...joined, failures: 500 })
  expect(await failing.toEnd()).toMatchObject({ verdict: 'inconclusive' })
  expect(failing.aborts).toContain('new')
})

test('the fix after a failed Canary is followed once Flagger begins with it, and nothing is promised before', async () => {
  const failed = flagger({ phase: 'Failed', lastAppliedSpec: 'bad' }, 'shop:3', 'shop:1', 0)
  const fix = flagger({ phase: 'Progressing', lastAppliedSpec: 'fix' }, 'shop:3', 'shop:1')
  const fixed = followLooks({ type: 'flagger', from: '', looks: [failed, ...times(3, fix)] })
  for (let i = 0; i < 3; i++) await fixed.run.tick()
  expect(fixed.run.intent.followed).toMatchObject({ revision: 'fix' })
  expect(await followLooks({ type: 'flagger', from: '', looks: [failed] }).toEnd()).toMatchObject({
    verdict: 'inconclusive',
    error: expect.stringMatching(
      /the last rollout of the Canary shop\/backend has failed \(Failed\), and Flagger has begun with no other within 20 s/,
    ) as string,
  })
})

/** A Rollout at this step, whose first steps give the canary the requests with a header. */
function withTesters(currentStepIndex: number, status: object = {}, weight = 0): Look {
  const { live } = argo({ ...moving, currentStepIndex, ...status }, weight)
  const object = structuredClone(live.object) as KubeObject & { spec: { strategy: { canary: { steps: object[] } } } }
  object.spec.strategy.canary.steps = [
    { setHeaderRoute: { name: 'testers', match: [{ headerName: 'x-test' }] } },
    { pause: {} },
    { setHeaderRoute: { name: 'testers' } },
    { setWeight: 20 },
    { pause: { duration: '1m' } },
  ]
  return { live: { object }, weight }
}

const atPause = { phase: 'Paused', controllerPause: true, pauseConditions: [{ reason: 'CanaryPauseStep' }] }

test('at weight 0 the requests of testers condemn a canary, and no pause ends before they were seen', async () => {
  const { run, clock, aborts, resumed } = followLooks({
    type: 'argo-rollouts',
    resumeAt: 'step 2 of 5, pause',
    failures: 500,
    looks: [withTesters(0), withTesters(1, atPause)],
  })
  for (let i = 0; i < 5; i++) {
    await run.tick()
    await clock.sleep(1_000)
  }
  expect(resumed).toEqual([])
  expect(aborts).toContain('new')
})

test('what testers were served counts after their route is gone', async () => {
  const { run, clock, notes } = followLooks({
    type: 'argo-rollouts',
    looks: [withTesters(1), withTesters(2), ...times(3, withTesters(4, {}, 20))],
  })
  for (let i = 0; i < 5; i++) {
    await run.tick()
    await clock.sleep(1_000)
  }
  expect(run.state.steps.map(({ kind, weight }) => [kind, weight])).toEqual([
    ['ab', 100],
    ['weight', 20],
  ])
  expect(notes.join()).not.toMatch(/restarted its analysis/)
})
