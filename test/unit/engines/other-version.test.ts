// Something else than what the run began with is rolled out meanwhile: no verdict is about that.
import { expect, test } from 'vitest'
import { argo, flagger, followLooks, times } from './followed-objects.ts'

const progressing = { phase: 'Progressing', lastAppliedSpec: 'hash-of-2', lastPromotedSpec: 'hash-of-1' }
const succeeded = { phase: 'Succeeded', lastAppliedSpec: 'hash-of-2', lastPromotedSpec: 'hash-of-2' }

test('Flagger takes a target that returns to the old version for the new one, and promotes it', async () => {
  const { toEnd } = followLooks({
    type: 'flagger',
    from: 'hash-of-1',
    looks: [
      ...times(5, flagger(progressing, 'shop:2', 'shop:1')),
      flagger(progressing, 'shop:1', 'shop:1'),
      flagger({ ...progressing, phase: 'Promoting' }, 'shop:1', 'shop:1', 50),
      flagger(succeeded, 'shop:1', 'shop:1', 0),
    ],
  })
  expect(await toEnd()).toMatchObject({
    verdict: 'inconclusive',
    error: expect.stringMatching(/changed the pod template of the Canary shop\/backend, or undid the change/) as string,
  })
})

test('another run sets its image before Flagger has looked', async () => {
  const before = { phase: 'Succeeded', lastAppliedSpec: 'hash-of-1', lastPromotedSpec: 'hash-of-1' }
  const { toEnd } = followLooks({
    type: 'flagger',
    from: 'hash-of-1',
    looks: [
      flagger(before, 'shop:2', 'shop:1', 0),
      flagger(before, 'shop:3', 'shop:1', 0),
      ...times(5, flagger({ ...progressing, lastAppliedSpec: 'hash-of-3' }, 'shop:3', 'shop:1')),
      flagger({ ...succeeded, lastAppliedSpec: 'hash-of-3', lastPromotedSpec: 'hash-of-3' }, 'shop:3', 'shop:3', 0),
    ],
  })
  expect(await toEnd()).toMatchObject({ verdict: 'inconclusive' })
})

test('another run sets its image before Argo Rollouts has looked', async () => {
  const hashOf3 = { observedGeneration: '5', currentPodHash: 'hash-of-3', phase: 'Progressing' }
  const { toEnd } = followLooks({
    type: 'argo-rollouts',
    looks: [
      argo({ observedGeneration: '3' }, 0, 'shop:2', 4),
      argo({ observedGeneration: '3' }, 0, 'shop:3', 5),
      ...times(5, argo(hashOf3, 20, 'shop:3', 5)),
      argo({ ...hashOf3, phase: 'Healthy', stableRS: 'hash-of-3' }, 0, 'shop:3', 5),
    ],
  })
  expect(await toEnd()).toMatchObject({ verdict: 'inconclusive' })
})

test('what was under way at the start is undone before the first look', async () => {
  const { toEnd } = followLooks({ type: 'argo-rollouts', from: 'new', isBegun: true, looks: [argo({}, 0)] })
  expect(await toEnd()).toMatchObject({
    verdict: 'inconclusive',
    error: expect.stringMatching(/revision new .* was rolled back, or replaced: stable is old/) as string,
  })
})

test('a fix that replaces a condemned canary is left alone, also by the post step', async () => {
  const bad = { phase: 'Progressing', currentPodHash: 'new' }
  const { run, toEnd, aborts } = followLooks({
    type: 'argo-rollouts',
    failures: 500,
    looks: [...times(5, argo(bad)), argo({ phase: 'Progressing', currentPodHash: 'fix' })],
  })
  expect(await toEnd()).toMatchObject({ verdict: 'inconclusive' })
  expect(aborts).toContain('new')
  expect(aborts).not.toContain('fix')
  expect(run.isSafe).toBe(true)
  expect(run.intent.followed).toMatchObject({ revision: 'new' })
})

test('the revision is known once Flagger has the approval to begin', async () => {
  const waiting = { phase: 'Waiting', lastAppliedSpec: 'hash-of-1', lastPromotedSpec: 'hash-of-1' }
  const { toEnd } = followLooks({
    type: 'flagger',
    from: 'hash-of-1',
    looks: [
      ...times(1, flagger(waiting, 'shop:2', 'shop:1', 0)),
      ...times(8, flagger(progressing, 'shop:2', 'shop:1')),
      flagger(succeeded, 'shop:2', 'shop:2', 0),
    ],
    plan: 'onInconclusive: promote',
  })
  expect(await toEnd()).toMatchObject({ verdict: 'held', asPlanned: true })
})

test('what was served before Flagger began anew with another ConfigMap is no evidence', async () => {
  const anew = (...weights: number[]) => weights.map((weight) => flagger(progressing, 'shop:2', 'shop:1', weight))
  const ended = flagger(succeeded, 'shop:2', 'shop:2', 0)
  const unseen = followLooks({ type: 'flagger', from: 'hash-of-1', looks: [...anew(20, 20, 50, 50, 0, 0), ended] })
  expect(await unseen.toEnd()).toMatchObject({
    verdict: 'inconclusive',
    reason: expect.stringMatching(/the traffic left the canary/) as string,
  })
  const again = followLooks({ type: 'flagger', from: 'hash-of-1', looks: [...anew(50, 50, 0, 20, 20), ended] })
  const { timeline = [], startedAt } = await again.toEnd()
  expect(timeline.map(({ weight, step }) => [weight, step])).toEqual([
    [20, 0],
    [20, 0],
  ])
  expect(timeline.every(({ at }) => at >= startedAt)).toBe(true)
  expect(again.notes.join('\n')).toMatch(/Flagger has restarted its analysis/)
})
