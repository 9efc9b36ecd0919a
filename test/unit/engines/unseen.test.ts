// What a run cannot see does not end well.
import { expect, test } from 'vitest'
import { argo, followLooks, times } from './followed-objects.ts'

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
