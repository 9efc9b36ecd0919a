import { describe, expect, test } from 'vitest'
import {
  rolloutFaults,
  rolloutProgress,
  rolloutRoutes,
  rolloutSelectors,
  rolloutSteps,
  rolloutVersions,
} from '../../../src/engines/argo-rollouts.ts'
import type { Rollout } from '../../../src/engines/objects.ts'
import { weightIn } from '../../../src/engines/engine.ts'
import { rollout, running, subsetRoutes } from './fixtures.ts'

const phaseOf = (object: Rollout, workload = undefined as ReturnType<typeof running> | undefined) =>
  rolloutProgress(object, 20, workload).phase

describe('the phase of a Rollout', () => {
  const moving = { phase: 'Progressing', currentPodHash: 'new', currentStepIndex: 0 }
  const paused = { ...moving, phase: 'Paused', controllerPause: true, pauseConditions: [{ reason: 'CanaryPauseStep' }] }
  test.each<[string, Rollout, string]>([
    ['is promoted when stable is the current revision', rollout(), 'promoted'],
    ['is waiting while the controller has not seen the spec', rollout({ observedGeneration: '2' }), 'waiting'],
    ['is waiting without a status', { ...rollout(), status: {} }, 'waiting'],
    ['is moving between its steps', rollout(moving), 'moving'],
    ['waits for approval at a pause without a duration', rollout({ ...paused, currentStepIndex: 1 }), 'approval'],
    ['is moving in a pause with a duration', rollout({ ...paused, currentStepIndex: 3 }), 'moving'],
    [
      'is moving once somebody has ended the pause',
      rollout({ ...paused, currentStepIndex: 1, pauseConditions: [] }),
      'moving',
    ],
    [
      'is stopped by an analysis without a result',
      rollout({ ...paused, pauseConditions: [{ reason: 'InconclusiveAnalysisRun' }] }),
      'stopped',
    ],
    ['is stopped by somebody who pauses all of it', rollout(moving, { paused: true }), 'stopped'],
    ['has failed when it is aborted', rollout({ ...moving, phase: 'Degraded', abort: true }), 'failed'],
    ['is stuck when it is degraded without an abort', rollout({ ...moving, phase: 'Degraded' }), 'stuck'],
    [
      'is moving at a pause of zero seconds',
      rollout({ ...paused, currentStepIndex: 0 }, { strategy: { canary: { steps: [{ pause: { duration: 0 } }] } } }),
      'moving',
    ],
  ])('%s', (_, object, expected) => {
    expect(phaseOf(object)).toBe(expected)
  })

  test('with a reference to a Deployment waits until the controller has seen its template', () => {
    const object = rollout(
      { workloadObservedGeneration: '1' },
      { workloadRef: { kind: 'Deployment', name: 'backend' } },
    )
    const deployment = running('backend', 'shop:1')
    expect(phaseOf(object, deployment)).toBe('promoted')
    expect(phaseOf(object, { ...deployment, metadata: { ...deployment.metadata, generation: 2 } })).toBe('waiting')
  })

  test('comes with the reason of the engine', () => {
    const message = 'RolloutAborted: metric "errors" assessed Failed'
    expect(rolloutProgress(rollout({ ...moving, abort: true, message }), 0)).toMatchObject({ reason: message })
    const canary = { currentBackgroundAnalysisRunStatus: { name: 'backend-2', status: 'Failed', message: 'errors: 3' } }
    expect(rolloutProgress(rollout({ ...moving, abort: true, canary }), 0).reason).toBe(
      'AnalysisRun backend-2: errors: 3',
    )
  })

  test('names the step', () => {
    expect(rolloutProgress(rollout({ ...moving, currentStepIndex: 3 }), 50)).toMatchObject({
      where: 'step 4 of 4, pause: 10s',
      weight: 50,
      revision: 'new',
    })
  })
})

test('versions are subsets, or Services where the Rollout has no DestinationRule', () => {
  expect(rolloutVersions(rollout())).toEqual({
    stable: { by: 'subset', name: 'stable' },
    canary: { by: 'subset', name: 'canary' },
  })
  const strategy = {
    canary: {
      stableService: 'backend',
      canaryService: 'backend-next',
      trafficRouting: { istio: { virtualService: { name: 'backend' } } },
    },
  }
  expect(rolloutVersions(rollout({}, { strategy }))).toEqual({
    stable: { by: 'service', name: 'backend' },
    canary: { by: 'service', name: 'backend-next' },
  })
})

test('pods are told apart by the hash of their template', () => {
  expect(rolloutSelectors(rollout({ currentPodHash: 'new' }))).toEqual({
    stable: { app: 'backend', 'rollouts-pod-template-hash': 'old' },
    canary: { app: 'backend', 'rollouts-pod-template-hash': 'new' },
  })
})

test('the weights of the steps rise to all the traffic', () => {
  expect(rolloutSteps(rollout())).toEqual([20, 50, 100])
})

describe('a Rollout that cannot be followed', () => {
  test.each([
    ['blue and green', { blueGreen: {} }, /has the strategy blueGreen.*trafficRouting\.istio/],
    ['no strategy', undefined, /has no strategy/],
    ['replicas as weights', { canary: { steps: [] } }, /has no trafficRouting/],
    [
      'another router',
      { canary: { trafficRouting: { nginx: { stableIngress: 'edge' } } } },
      /by nginx.*trafficRouting\.istio/,
    ],
    [
      'other weights than per cent',
      { canary: { trafficRouting: { istio: { virtualService: { name: 'b' } }, maxTrafficWeight: 1000 } } },
      /maxTrafficWeight/,
    ],
    [
      'Services that change roles',
      {
        canary: {
          pingPong: { pingService: 'a', pongService: 'b' },
          trafficRouting: { istio: { virtualService: { name: 'b' } } },
        },
      },
      /has `pingPong`.*set stableService and canaryService/,
    ],
    [
      'labels that the telemetry keeps',
      {
        canary: {
          trafficRouting: { istio: { virtualService: { name: 'b' } } },
          canaryMetadata: { labels: { version: 'canary' } },
        },
      },
      /label version in canaryMetadata/,
    ],
  ])('%s', (_, strategy, fault) => {
    expect(
      rolloutFaults(rollout({}, { strategy: strategy as NonNullable<Rollout['spec']['strategy']> })).join(),
    ).toMatch(fault)
  })

  test('is none with the routing of Istio', () => {
    expect(rolloutFaults(rollout())).toEqual([])
  })
})

test('only the routes that it names, of the VirtualServices that it names, have the weight of the canary', () => {
  const [virtualService] = subsetRoutes(0)
  const fixed = subsetRoutes(50)[0].spec.http![0]!
  const http = [{ ...fixed, name: 'beta-users' }, ...virtualService.spec.http!]
  const other = { ...subsetRoutes(50)[0], metadata: { name: 'of-a-gateway', namespace: 'shop' } }
  const own = rolloutRoutes(rollout())
  expect(own).toEqual([{ name: 'backend', routes: ['primary'] }])
  const split = { namespace: 'shop', service: 'backend', ...rolloutVersions(rollout()), own }
  const objects = [{ ...virtualService, spec: { ...virtualService.spec, http } }, other]
  expect(weightIn(objects, split)).toBe(0)
  expect(weightIn(objects, { ...split, own: [...own, { name: 'of-a-gateway' }] })).toBe(50)
})

test('a VirtualService of another namespace is named as Argo Rollouts names it, and refused', () => {
  const at = (name: string) => {
    const istio = { virtualService: { name }, destinationRule: { name: 'backend' } }
    return rollout({}, { strategy: { canary: { trafficRouting: { istio } } } })
  }
  expect(rolloutFaults(at('routes.edge'))).toEqual([
    expect.stringMatching(/VirtualService of the namespace edge \(routes\.edge\), and this run reads those of shop/),
  ])
  expect(rolloutRoutes(at('routes.edge'))).toEqual([])
  expect(rolloutRoutes(at('routes.v1.shop'))).toEqual([{ name: 'routes.v1' }])
  expect(rolloutFaults(at('routes.v1.shop'))).toEqual([])
})

describe('at weight 0, the canary may have', () => {
  const header = { setHeaderRoute: { name: 'testers', match: [{ headerName: 'x-test' }] } }
  const mirror = { setMirrorRoute: { name: 'copies', match: [{ method: { exact: 'GET' } }], percentage: 35 } }
  const steps = [
    header,
    { pause: {} },
    { setHeaderRoute: { name: 'testers' } },
    mirror,
    { pause: {} },
    { setWeight: 20 },
  ]
  test.each([
    [1, { isChosen: true }],
    [2, {}],
    [4, { copies: 35 }],
  ])('at step %i: %o', (currentStepIndex, expected) => {
    const object = rollout({ currentPodHash: 'new', currentStepIndex }, { strategy: { canary: { steps } } })
    const { isChosen, copies } = rolloutProgress(object, 0)
    expect({ isChosen, copies }).toEqual({ isChosen: undefined, copies: undefined, ...expected })
    expect(rolloutProgress(object, 20)).not.toHaveProperty('isChosen')
  })
})
