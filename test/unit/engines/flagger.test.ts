import { describe, expect, test } from 'vitest'
import {
  canaryFaults,
  canaryProgress,
  canaryRoutes,
  canarySteps,
  canaryVersions,
  intervalOf,
  runsSameTemplate,
  thresholdOf,
} from '../../../src/engines/flagger.ts'
import type { PatchOperation } from '../../../src/cluster/client.ts'
import { engineOf, weightIn } from '../../../src/engines/engine.ts'
import type { FlaggerCanary } from '../../../src/engines/objects.ts'
import { clusterWith } from '../fixtures.ts'
import { canary, running, serviceRoutes } from './fixtures.ts'

describe('the phase of a Canary', () => {
  test.each([
    ['Succeeded', 'promoted'],
    ['Initialized', 'promoted'],
    ['Initializing', 'waiting'],
    ['Waiting', 'approval'],
    ['Progressing', 'moving'],
    ['WaitingPromotion', 'approval'],
    ['Promoting', 'promoting'],
    ['Finalising', 'promoting'],
    ['Failed', 'failed'],
    ['Terminating', 'waiting'],
  ])('%s is %s', (phase, expected) => {
    expect(canaryProgress(canary({ phase }), 20).phase).toBe(expected)
  })

  test('waits to begin at a gate, unless the canary has had its share already', () => {
    const isBefore = (status: FlaggerCanary['status'], weight = 0) =>
      canaryProgress(canary({ phase: 'Waiting', ...status }), weight).isBefore
    expect(isBefore({})).toBe(true)
    expect([isBefore({}, 20), isBefore({ canaryWeight: 20 }), isBefore({ iterations: 2 })]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
  })

  test('is not promoted while another spec was applied', () => {
    expect(canaryProgress(canary({ lastAppliedSpec: 'new' }), 0).phase).toBe('waiting')
  })

  test('tells that an A/B test chooses the requests', () => {
    const analysis = { iterations: 3, match: [{ headers: { cookie: { exact: 'canary' } } }] }
    expect(canaryProgress(canary({ phase: 'Progressing' }, { analysis }), 100).isChosen).toBe(true)
    expect(canaryProgress(canary({ phase: 'Progressing' }, { analysis }), 0)).not.toHaveProperty('isChosen')
  })

  test('is stopped while somebody suspends the Canary in the middle', () => {
    const conditions = [{ type: 'Promoted', message: 'New revision detected, progressing canary analysis.' }]
    const at = (phase: string) => canaryProgress(canary({ phase, conditions }, { suspend: true }), 20)
    expect(at('Progressing')).toMatchObject({ phase: 'stopped', where: 'suspended (`spec.suspend`)', reason: '' })
    expect(['Waiting', 'WaitingPromotion', 'Promoting', 'Failed'].map((phase) => at(phase).phase)).toEqual([
      'stopped',
      'stopped',
      'promoting',
      'failed',
    ])
    expect(engineOf('flagger').delaysAbort(canary({}, { suspend: true }))).toContain('suspended (`spec.suspend`)')
  })

  test('comes with the failed checks and the reason', () => {
    const conditions = [
      { type: 'Promoted', reason: 'Failed', message: 'Canary analysis failed, Deployment scaled to zero.' },
    ]
    const progress = canaryProgress(canary({ phase: 'Failed', failedChecks: 2, conditions }), 0)
    expect(progress).toMatchObject({
      where: 'Failed, 2 failed checks',
      reason: 'Canary analysis failed, Deployment scaled to zero.',
    })
  })
})

test('versions are the two Services that Flagger makes', () => {
  expect(canaryVersions(canary({}, { service: { name: 'api', port: 80 } }))).toEqual({
    stable: { by: 'service', name: 'api-primary' },
    canary: { by: 'service', name: 'api-canary' },
  })
})

test('the weight of a Canary with session affinity is not that of the users who keep their version', () => {
  const sessionAffinity = { cookieName: 'version' }
  const object = canary({}, { analysis: { sessionAffinity } })
  const split = { namespace: 'shop', service: 'backend', ...canaryVersions(object), own: [canaryRoutes(object)] }
  const sticky = (ofCookie: number, weight: number) => {
    const { spec, ...rest } = serviceRoutes(weight)
    const match = [{ headers: { Cookie: { regex: '.*version.*abc.*' } } }]
    return { ...rest, spec: { ...spec, http: [{ ...serviceRoutes(ofCookie).spec.http![0]!, match }, ...spec.http!] } }
  }
  expect(weightIn([sticky(100, 20)], split)).toBe(20)
  expect(weightIn([sticky(0, 0)], split)).toBe(0)
  // An abort has reached the weights, and not the cookie.
  expect(weightIn([sticky(100, 0)], split)).toBe(100)
})

test.each([
  [{ stepWeight: 20, maxWeight: 50 }, [20, 40, 60]],
  [{ stepWeights: [1, 5, 30] }, [1, 5, 30]],
  [{ iterations: 5 }, [100]],
  [{}, [100]],
])('the weights of %j are %j', (analysis, steps) => {
  expect(canarySteps(canary({}, { analysis }))).toEqual(steps)
})

test.each([
  ['2m', 120_000],
  ['1m30s', 90_000],
  ['2s', 10_000],
  [undefined, 60_000],
])('Flagger looks every %s', (interval, ms) => {
  const analysis = interval === undefined ? {} : { interval }
  expect(intervalOf(canary({}, { analysis }))).toBe(ms)
})

test('without a threshold one failed check is enough', () => {
  expect(thresholdOf(canary({}, { analysis: {} }))).toBe(1)
  expect(thresholdOf(canary())).toBe(3)
})

test.each([
  ['another mesh', { provider: 'linkerd' }, /provider linkerd/],
  ['no analysis', { skipAnalysis: true }, /skipAnalysis/],
  ['another target', { targetRef: { kind: 'DaemonSet', name: 'backend' } }, /DaemonSet as its target/],
])('a Canary with %s cannot be followed', (_, spec, fault) => {
  expect(canaryFaults(canary({}, spec)).join()).toMatch(fault)
})

test('primary runs the same template under its own names, or another one', () => {
  const target = running('backend', 'shop:1')
  const primary = running('backend-primary', 'shop:1')
  primary.spec.template.metadata!.annotations = { 'flagger-id': '1d1c' }
  expect(runsSameTemplate(target, primary)).toBe(true)
  expect(runsSameTemplate(running('backend', 'shop:2'), primary)).toBe(false)
})

describe('an abort writes the status, and weight 0', () => {
  const versions = canaryVersions(canary())
  const split = { namespace: 'shop', service: 'backend', ...versions }
  const progressing = canary({ phase: 'Progressing', lastAppliedSpec: 'new' })
  /** `then`: the Canary after the first write. */
  async function abort(then: FlaggerCanary) {
    const patches: [string, PatchOperation[]][] = []
    const cluster = clusterWith({
      get: () => Promise.resolve(then),
      list: (kind: string) => Promise.resolve(kind === 'VirtualService' ? [serviceRoutes(50)] : []),
      patch: (kind: string, _: string, __: string, operations: PatchOperation[]) => {
        patches.push([kind, operations])
        return Promise.resolve(serviceRoutes())
      },
    })
    const isWritten = await engineOf('flagger').abort(cluster, { object: progressing }, 'new', split)
    return { isWritten, patches }
  }

  test('only in the phase in which it was read', async () => {
    const { isWritten, patches } = await abort(progressing)
    expect(isWritten).toBe(true)
    expect(patches.map(([kind]) => kind)).toEqual(['Canary', 'VirtualService'])
    expect(patches[0]![1]).toContainEqual({ op: 'test', path: '/status/phase', value: 'Progressing' })
  })

  test.each([
    ['Flagger has begun another revision', canary({ phase: 'Progressing', lastAppliedSpec: 'fix' })],
    ['Flagger promotes', canary({ phase: 'Promoting', lastAppliedSpec: 'new' })],
  ])('no weight if meanwhile %s', async (_, then) => {
    expect((await abort(then)).patches.map(([kind]) => kind)).toEqual(['Canary'])
  })
})
