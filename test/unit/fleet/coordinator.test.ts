// Which cluster of a fleet may go on, and which failure ends the wait of the others. No cluster takes part.
import { expect, test } from 'vitest'
import { createCoordinator } from '../../../src/fleet/coordinator.ts'
import { twoClusters } from './two-clusters.ts'

test('no cluster begins when the checks of another one fail', async () => {
  const { of } = twoClusters(1)
  const turn = of('eu').turn({ server: 'https://eu.example' })
  of('us').ended({ failure: 'the run failed (no such namespace)', rollsBackOthers: true })
  await expect(turn).rejects.toThrow(
    'the run failed (no such namespace) in the cluster us, so nothing was promoted in eu',
  )
  // Nothing was changed anywhere, so nothing is rolled back.
  expect(of('eu').failure()).toBeUndefined()
})

test.each([
  ['address', { server: 'https://one.example' }, { server: 'https://one.example' }],
  ['namespace', { server: 'https://10.0.0.1', uid: 'a1' }, { server: 'https://one.example', uid: 'a1' }],
])('two names of one cluster are refused: by its %s', async (_, euIdentity, usIdentity) => {
  const { of } = twoClusters(1)
  const turns = await Promise.allSettled([of('eu').turn(euIdentity), of('us').turn(usIdentity)])
  expect(String((turns[1] as PromiseRejectedResult).reason)).toContain(
    'clusters: `eu` and `us` are the same cluster (https://one.example)',
  )
})

test('two clusters behind one address are not taken for one, if their namespaces differ', async () => {
  const { of } = twoClusters(1)
  const turns = ['eu', 'us'].map((name) => of(name).turn({ server: 'https://10.0.0.1', uid: name }))
  await expect(Promise.all(turns)).resolves.toMatchObject([{ isOutOfTime: false }, { isOutOfTime: false }])
})

test('the cause is the cluster that has failed first, not one that was rolled back because of it', async () => {
  const controller = new AbortController()
  const clusters = ['eu', 'us', 'asia'].map((name) => ({ name, wave: 1 }))
  const members = createCoordinator([...clusters, { name: 'later', wave: 2 }], controller.signal)
  const later = members.get('later')!.turn({ server: 'https://later.example' })
  await Promise.all(clusters.map(({ name }) => members.get(name)!.turn({ server: `https://${name}.example` })))
  const failed = { failure: 'the canary of backend was not promoted', rollsBackOthers: true }
  void members
    .get('us')!
    .report(failed)
    .catch(() => undefined)
  void members
    .get('eu')!
    .report(failed)
    .catch(() => undefined)
  expect(members.get('asia')!.failure()?.cluster).toBe('us')
  await expect(later).rejects.toThrow('was not promoted in the cluster us')
})

test('clusters whose namespaces the run may not read are not taken for one', async () => {
  const { of } = twoClusters(1)
  const turns = [of('eu').turn({ server: 'https://eu', uid: undefined }), of('us').turn({ server: 'https://us' })]
  await expect(Promise.all(turns)).resolves.toMatchObject([{ hasWaited: false }, { hasWaited: false }])
})

test('a held canary does not end the wait of the others: a failure after it still rolls them back', async () => {
  const controller = new AbortController()
  const members = createCoordinator(
    ['eu', 'us', 'asia'].map((name) => ({ name, wave: 1 })),
    controller.signal,
  )
  const [eu, us, asia] = ['eu', 'us', 'asia'].map((name) => members.get(name)!)
  await Promise.all([eu, us, asia].map((each, i) => each!.turn({ server: `https://${i}.example` })))
  void eu!.report({ failure: 'the canary of backend was not promoted', rollsBackOthers: false })
  let isOver = false
  const settled = us!.report({}).then(() => (isOver = true))
  await new Promise(setImmediate)
  expect(isOver).toBe(false)
  void asia!.report({ failure: 'the canary of backend was not promoted', rollsBackOthers: true })
  await settled
  expect(us!.failure()?.cluster).toBe('asia')
})

test('a held canary counts as looked at only once its cluster has looked: another one there may still be lost', async () => {
  const { of } = twoClusters(1)
  await Promise.all(['eu', 'us'].map((name) => of(name).turn({ server: `https://${name}.example` })))
  const held = { failure: 'the canary of backend was not promoted', rollsBackOthers: false }
  void of('eu').report(held)
  const us = of('us').report({})
  of('us').confirm()
  expect(of('us').isFinal()).toBe(false)
  void of('eu').report({ failure: 'the promotion of cart was lost', rollsBackOthers: true })
  await us
  expect(of('us').failure()).toEqual({ cluster: 'eu', reason: 'the promotion of cart was lost' })
})

test('the error of a run that has held its canary rolls nobody back', async () => {
  const { of } = twoClusters(1)
  await Promise.all(['eu', 'us'].map((name) => of(name).turn({ server: `https://${name}.example` })))
  void of('eu').report({ failure: 'the canary of backend was not promoted', rollsBackOthers: false })
  const us = of('us').report({})
  of('us').confirm()
  of('eu').ended({ failure: 'the run failed (the canary of backend was held)', rollsBackOthers: true })
  await us
  expect([of('us').isFinal(), of('us').failure()]).toEqual([true, undefined])
})

test('a cluster with a held canary still says that it has handed another one over', async () => {
  const { of } = twoClusters(1)
  await Promise.all(['eu', 'us'].map((name) => of(name).turn({ server: `https://${name}.example` })))
  void of('eu').report({ failure: 'the canary of backend was not promoted', rollsBackOthers: false })
  void of('eu').report({ handedOver: true })
  of('eu').ended({})
  const us = of('us').report({})
  of('us').confirm()
  await us
  expect(of('us').isFinal()).toBe(false)
})

test('the error of a cluster that only waited rolls nobody back', async () => {
  const controller = new AbortController()
  const waves = { eu: 1, asia: 1, us: 2 }
  const clusters = Object.entries(waves).map(([name, wave]) => ({ name, wave }))
  const members = createCoordinator(clusters, controller.signal)
  const [eu, asia, us] = ['eu', 'asia', 'us'].map((name) => members.get(name)!)
  const turn = us!.turn({ server: 'https://us.example' })
  await Promise.all([eu!.turn({ server: 'https://eu.example' }), asia!.turn({ server: 'https://asia.example' })])
  const promoted = asia!.report({})
  asia!.confirm()
  void eu!.report({ failure: 'the canary of backend was not promoted', rollsBackOthers: false })
  eu!.confirm()
  await expect(turn).rejects.toThrow('was not promoted in the cluster eu')
  us!.ended({ failure: 'the run failed (the canary of backend was not promoted …)', rollsBackOthers: true })
  await promoted
  expect(asia!.isFinal()).toBe(true)
  expect(asia!.failure()).toBeUndefined()
})

test('a failure or a cancel after all were promoted rolls nobody back', async () => {
  const { of, controller } = twoClusters(1)
  await Promise.all(['eu', 'us'].map((name) => of(name).turn({ server: `https://${name}.example` })))
  const settled = [of('eu').report({}), of('us').report({})]
  for (const name of ['eu', 'us']) of(name).confirm()
  controller.abort(new Error('the run was cancelled'))
  of('eu').ended({ failure: 'the run failed (stable could not adopt v2)', rollsBackOthers: true })
  await Promise.allSettled(settled)
  expect(['eu', 'us'].map((name) => [of(name).isFinal(), of(name).failure()])).toEqual([
    [true, undefined],
    [true, undefined],
  ])
})

test('all are promoted only when each has looked once more after the last one', async () => {
  const { of } = twoClusters(1)
  await Promise.all(['eu', 'us'].map((name) => of(name).turn({ server: `https://${name}.example` })))
  void of('eu').report({})
  expect(of('eu').isLastLook()).toBe(false)
  const us = of('us').report({})
  expect(of('eu').isLastLook()).toBe(true)
  of('us').confirm()
  expect(of('us').isFinal()).toBe(false)
  of('eu').confirm()
  await us
  expect(of('us').isFinal()).toBe(true)
})

test('a cluster that is lost before it has looked once more rolls the others back', async () => {
  const { of } = twoClusters(1)
  await Promise.all(['eu', 'us'].map((name) => of(name).turn({ server: `https://${name}.example` })))
  void of('eu').report({})
  const us = of('us').report({})
  of('us').confirm()
  void of('eu').report({ failure: 'the promotion of backend was lost', rollsBackOthers: true })
  await us
  expect(of('us').isFinal()).toBe(false)
  expect(of('us').failure()?.cluster).toBe('eu')
})

test('clusters that wait for each other end when the run is cancelled', async () => {
  const { of, controller } = twoClusters(2)
  const turns = [of('eu').turn({ server: 'https://eu.example' }), of('us').turn({ server: 'https://us.example' })]
  await turns[0]
  controller.abort(new Error('the run was cancelled'))
  await expect(turns[1]).rejects.toThrow('the run was cancelled')
  await expect(of('eu').report({})).rejects.toThrow('the run was cancelled')
})
