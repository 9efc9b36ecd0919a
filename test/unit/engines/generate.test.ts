// The objects of an engine that come from the section canary.
import { describe, expect, test } from 'vitest'
import type { Cluster } from '../../../src/cluster/client.ts'
import type { HorizontalPodAutoscaler, KubeObject, Workload } from '../../../src/cluster/objects.ts'
import { stagesOf } from '../../../src/config/stages.ts'
import { engineObjects, withGeneratedRoutes, withoutGenerated } from '../../../src/engines/generate/engine-objects.ts'
import { generateFaults } from '../../../src/engines/generate/existing.ts'
import {
  engineChangeFaults,
  generatedObjectFaults,
  handBack,
  waitForRemoval,
} from '../../../src/engines/generate/hand-back.ts'
import type { Existing } from '../../../src/engines/generate/keep.ts'
import { compile } from '../../../src/policies/compile/index.ts'
import type { PlannedChange } from '../../../src/policies/plan.ts'
import { FakeClock } from '../fake-clock.ts'
import { configOf } from '../fixtures.ts'
import { backendService, canary, ofKind, rollout, running, subsetRoutes } from './fixtures.ts'
import { clusterOf } from './followed-objects.ts'

const configFor = (type: string, plan = '', services = 'port: 3001, timeout: 5s') =>
  configOf(
    `namespace: shop\nservices: { backend: { ${services} }, front: { timeout: 3s } }\n` +
      `canary: { service: backend, engine: { type: ${type}, generate: true }, steps: [20, 50, 100], ${plan} }\n`,
  )
const nothing: Existing = { virtualServices: [], destinationRules: [] }
const generated = (config: ReturnType<typeof configFor>, existing: Partial<Existing> = {}) =>
  engineObjects(config, new Map([['backend', { ...nothing, ...existing }]])).objects
const specOf = (objects: readonly KubeObject[], kind: string) =>
  (ofKind(objects, kind)[0] as KubeObject & { spec: Record<string, unknown> }).spec

const [routes, rule] = subsetRoutes(20)
const hashed = (name: string) => ({ name, labels: { 'rollouts-pod-template-hash': `hash-of-${name}`, version: 'v1' } })
const autoscaler = {
  apiVersion: 'autoscaling/v2',
  kind: 'HorizontalPodAutoscaler',
  metadata: { name: 'scaler', namespace: 'shop' },
  spec: { scaleTargetRef: { kind: 'Deployment', name: 'backend' } },
} as HorizontalPodAutoscaler
const deployment = (replicas: number): Workload => {
  const object = running('backend', 'shop:1')
  return { ...object, spec: { ...object.spec, replicas } }
}

describe('a Rollout', () => {
  test('comes with the routes that it moves, in the stage policies', () => {
    const config = configFor('argo-rollouts')
    expect(stagesOf(config)).toEqual(['policies', 'verify', 'promote'])
    const objects = generated(config)
    expect(objects.map(({ kind }) => kind)).toEqual(['Rollout', 'VirtualService', 'DestinationRule'])
    expect(JSON.stringify(specOf(objects, 'Rollout')['strategy'])).toContain('"setWeight":20')
    const compiled = compile(withGeneratedRoutes(config), {}, 0).objects
    const host = 'backend.shop.svc.cluster.local'
    expect(JSON.stringify(ofKind(compiled, 'VirtualService')[0])).toContain(
      `{"host":"${host}","port":{"number":3001},"subset":"canary"}`,
    )
    const others = compile(withoutGenerated(config), {}, 0).objects
    expect(others.map(({ metadata }) => metadata.name)).toEqual(['front'])
  })

  test('has the same subsets whether a run sets an image or not', () => {
    const names = ['', 'image: "shop:2"'].map(
      (plan) => specOf(generated(configFor('argo-rollouts', plan)), 'DestinationRule')['subsets'],
    )
    expect(names[0]).toEqual([{ name: 'stable' }, { name: 'canary' }])
    expect(names[1]).toEqual(names[0])
  })

  test('takes the replicas of the Deployment over, and keeps its own later', () => {
    const config = configFor('argo-rollouts')
    const first = generated(config, { workload: deployment(3) })
    expect(specOf(first, 'Rollout')['replicas']).toBe(3)
    const later = generated(config, { workload: deployment(0), rollout: rollout({}, { replicas: 5 }) })
    expect(specOf(later, 'Rollout')['replicas']).toBe(5)
  })

  test('keeps what Argo Rollouts writes: the label of the subsets, and its routes', () => {
    const config = configFor('argo-rollouts', 'mirror: { percent: 10% },')
    const live = { ...routes, spec: { ...routes.spec, http: [{ name: 'mesh-canary-mirror' }, ...routes.spec.http!] } }
    const objects = generated(config, {
      virtualServices: [live],
      destinationRules: [{ ...rule, spec: { ...rule.spec, subsets: ['stable', 'canary'].map(hashed) } }],
    })
    expect(specOf(objects, 'DestinationRule')['subsets']).toEqual([
      { name: 'stable', labels: { 'rollouts-pod-template-hash': 'hash-of-stable' } },
      { name: 'canary', labels: { 'rollouts-pod-template-hash': 'hash-of-canary' } },
    ])
    const http = specOf(objects, 'VirtualService')['http'] as { name: string }[]
    expect(http.map(({ name }) => name)).toEqual(['mesh-canary-mirror', 'mesh-canary', 'mesh-canary-other-ports'])
  })
})

test('a Canary has the port of the Service, its autoscaler, and the way back', () => {
  const service = {
    ...backendService,
    spec: { ports: [{ name: 'http-web', port: 3001, targetPort: 8080, appProtocol: 'http' }] },
  }
  const spec = specOf(generated(configFor('flagger', '', 'timeout: 5s'), { service, autoscaler }), 'Canary')
  expect(spec).toMatchObject({
    revertOnDeletion: true,
    autoscalerRef: { kind: 'HorizontalPodAutoscaler', name: 'scaler' },
    service: { port: 3001, targetPort: 8080, portName: 'http-web', appProtocol: 'http', timeout: '5s' },
  })
})

test.each([
  [
    'argo-rollouts',
    '',
    'port: 3001, subsets: { v1: {}, v2: {} }, traffic: { v1: 80, v2: 20 }',
    /services\.backend\.traffic: .*argo-rollouts do not express it/,
  ],
  [
    'flagger',
    '',
    'port: 3001, circuitBreaker: { maxConnections: 10 }',
    /services\.backend\.circuitBreaker\.maxConnections: .*DestinationRule/,
  ],
  [
    'flagger',
    'ab: { match: { path: /a } }',
    'port: 3001',
    /canary\.ab: .*headers and query parameters only.*`mesh-canary convert --to flagger`/,
  ],
  ['flagger', '', 'timeout: 5s', /services\.backend\.port: is missing/],
])('what the objects of %s cannot express is refused: %s %s', (type, plan, services, expected) => {
  expect(() => engineObjects(configFor(type, plan, services))).toThrow(expected)
})

describe('before anything is written, the fault names', () => {
  const objects = [backendService, deployment(1), running('front', 'shop:1')]
  test.each<[string, string, KubeObject[], RegExp]>([
    [
      'a Deployment that does not exist',
      'argo-rollouts',
      [backendService, running('backends', 'shop:1')],
      /canary\.engine\.workload: the Deployment shop\/backend does not exist.*backends/,
    ],
    [
      'another object of the service',
      'argo-rollouts',
      [...objects, routes, rule, { ...rollout(), metadata: { name: 'old', namespace: 'shop' } }],
      /canary\.engine: the Rollout shop\/old moves the traffic of backend already/,
    ],
    [
      'an autoscaler of the Deployment',
      'argo-rollouts',
      [...objects, autoscaler],
      /HorizontalPodAutoscaler shop\/scaler scales the Deployment backend.*let it scale the Rollout backend/,
    ],
    [
      'a Service with several ports',
      'flagger',
      [deployment(1), { ...backendService, spec: { ports: [{ port: 80 }, { port: 81 }] } } as KubeObject],
      /has several ports/,
    ],
  ])('%s', async (_, type, found, expected) => {
    expect((await generateFaults(clusterOf(found), configFor(type))).join()).toMatch(expected)
    expect(await generateFaults(clusterOf(objects), configFor(type))).toEqual([])
  })
})

test('a Rollout does not change in the middle of a rollout, because its steps would begin anew', async () => {
  const change = (object: KubeObject): PlannedChange => ({ action: 'change', object, before: object, diff: [] })
  const moving = rollout({ phase: 'Progressing', currentPodHash: 'new', currentStepIndex: 1 })
  expect((await engineChangeFaults(clusterOf([moving]), [change(moving)])).join()).toMatch(
    /Rollout shop\/backend would change in the middle of a rollout \(step 2 of 4/,
  )
  expect(await engineChangeFaults(clusterOf([rollout()]), [change(rollout())])).toEqual([])
})

test('the steps of a Rollout do not change after an abort, because its aborted revision would start again', async () => {
  const aborted = rollout({ phase: 'Degraded', abort: true, currentPodHash: 'bad' })
  const faults = (object: KubeObject, ...diff: string[]) =>
    engineChangeFaults(clusterOf([object]), [{ action: 'change', object, before: object, diff }])
  const steps = ['- spec.strategy.canary.steps[0].setWeight: 20', '+ spec.strategy.canary.steps[0].setWeight: 5']
  expect((await faults(aborted, ...steps)).join()).toMatch(
    /the steps of the Rollout shop\/backend would change, and its aborted revision would start again.*give the Deployment/,
  )
  expect(await faults(aborted, '+ spec.progressDeadlineSeconds: 60')).toEqual([])
  expect(await faults(rollout(), ...steps)).toEqual([])
  expect(await faults(canary({ phase: 'Failed' }), '+ spec.analysis.maxWeight: 60')).toEqual([])
})

test('the mesh is not removed under a Rollout that this program wrote', async () => {
  const labels = { 'app.kubernetes.io/managed-by': 'mesh-canary' }
  const written = { ...rollout(), metadata: { name: 'backend', namespace: 'shop', labels } }
  expect((await generatedObjectFaults(clusterOf([written]), 'shop')).join()).toMatch(
    /^uninstall: the Rollout shop\/backend moves traffic by the mesh.*remove `engine\.generate`/,
  )
  expect(await generatedObjectFaults(clusterOf([rollout()]), 'shop')).toEqual([])
})

describe('what is removed', () => {
  const removal = (object: KubeObject): PlannedChange => ({ action: 'delete', object, before: object, diff: [] })
  const ofDeployment = (status = {}) =>
    rollout(
      { workloadObservedGeneration: '1', ...status },
      { replicas: 2, workloadRef: { kind: 'Deployment', name: 'backend' } },
    )

  test('waits while its Deployment has another version than the one that serves', async () => {
    const aborted = ofDeployment({ phase: 'Degraded', abort: true, currentPodHash: 'new' })
    const faults = await engineChangeFaults(clusterOf([aborted, deployment(0)]), [removal(aborted)])
    expect(faults.join()).toMatch(
      /Rollout shop\/backend is no longer in this config.*removing it now would start that version/,
    )
    const promoted = ofDeployment()
    expect(await engineChangeFaults(clusterOf([promoted, deployment(0)]), [removal(promoted)])).toEqual([])
  })

  test('is a Rollout only once its Deployment serves again', async () => {
    const writes: unknown[] = []
    let now = deployment(0)
    const cluster: Cluster = {
      ...clusterOf([]),
      get: () => Promise.resolve(now as never),
      merge: (kind, _, __, body) => {
        writes.push([kind, body])
        if (kind === 'Deployment') {
          const status = { observedGeneration: 1, replicas: 2, updatedReplicas: 2, availableReplicas: 2 }
          // Argo Rollouts may have scaled it to 0 once more.
          now = writes.length < 3 ? deployment(0) : { ...deployment(2), status }
        }
        return Promise.resolve({} as never)
      },
    }
    const options = {
      timeoutMs: 5_000,
      note: () => undefined,
      signal: new AbortController().signal,
      clock: new FakeClock(),
    }
    await handBack(cluster, [removal(ofDeployment())], options)
    expect(writes).toEqual([
      ['Rollout', { spec: { workloadRef: { scaleDown: 'never' } } }],
      ['Deployment', { spec: { replicas: 2 } }],
      ['Deployment', { spec: { replicas: 2 } }],
    ])
  })

  test('is a Canary only once Flagger has given everything back', async () => {
    const options = {
      timeoutMs: 5_000,
      note: () => undefined,
      signal: new AbortController().signal,
      clock: new FakeClock(),
    }
    await waitForRemoval(clusterOf([]), [removal(canary())], options)
    await expect(waitForRemoval(clusterOf([canary()]), [removal(canary())], options)).rejects.toThrow(
      /Flagger has not returned the traffic of the Canary shop\/backend to its Deployment/,
    )
  })
})
