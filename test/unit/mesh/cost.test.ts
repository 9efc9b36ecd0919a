import { describe, expect, test } from 'vitest'
import type { Node, Pod, Service } from '../../../src/cluster/objects.ts'
import { changesRequests, costOf, meshCost, type CostFacts } from '../../../src/mesh/cost.ts'
import { quantity } from '../../../src/config/values/quantities.ts'
import { requestsOf } from '../../../src/mesh/resources.ts'
import { clusterWith, pod, workload } from '../fixtures.ts'

const node = (cpu: string, memory: string, spec: Node['spec'] = {}, name = 'node-1'): Node => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name },
  spec,
  status: { allocatable: { cpu, memory } },
})
const withoutSidecar = (name: string, cpu = '100m', memory = '128Mi'): Pod =>
  pod({
    metadata: { name },
    spec: {
      nodeName: 'node-1',
      initContainers: [],
      containers: [{ name: 'app', resources: { requests: { cpu, memory } } }],
    },
  })
const service = (name: string): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec: { selector: { app: name }, ports: [{ port: 80 }] },
})
const facts = (more: Partial<CostFacts> = {}): CostFacts => ({
  namespace: 'shop',
  profile: 'default',
  hasControlPlane: false,
  autoscales: false,
  nodes: [node('4', '8Gi')],
  pods: [withoutSidecar('a'), withoutSidecar('b')],
  services: [service('a'), service('b')],
  isInjected: () => true,
  ...more,
})

test.each([
  ['100m', 0.1],
  ['2', 2],
  ['1.5', 1.5],
  ['128Mi', 134_217_728],
  ['1Gi', 1_073_741_824],
  ['1e3', 1000],
  ['12E2', 1200],
  ['1k', 1000],
  ['24632900Ki', 25_224_089_600],
  ['5M', 5_000_000],
  [undefined, 0],
  ['odd', 0],
])('the quantity %s is %d', (written, value) => {
  expect(quantity(written)).toBeCloseTo(value, 6)
})

describe('the resource requests of a pod', () => {
  const requesting = (cpu: string) => ({ resources: { requests: { cpu, memory: '1Mi' } } })
  test.each<[string, Partial<Pod['spec']>, number]>([
    [
      'are the sum over its containers',
      {
        containers: [
          { name: 'a', ...requesting('100m') },
          { name: 'b', ...requesting('50m') },
        ],
        initContainers: [],
      },
      150,
    ],
    [
      'include those of a native sidecar',
      {
        containers: [{ name: 'a', ...requesting('100m') }],
        initContainers: [{ name: 'istio-proxy', restartPolicy: 'Always', ...requesting('10m') }],
      },
      110,
    ],
    [
      'are those of an init container that requests more',
      { containers: [{ name: 'a', ...requesting('100m') }], initContainers: [{ name: 'i', ...requesting('500m') }] },
      500,
    ],
    [
      'are those of an init container together with the sidecar that started before it',
      {
        containers: [{ name: 'a', ...requesting('100m') }],
        initContainers: [
          { name: 'istio-proxy', restartPolicy: 'Always', ...requesting('10m') },
          { name: 'i', ...requesting('500m') },
        ],
      },
      510,
    ],
    [
      'include the overhead of its runtime',
      { containers: [{ name: 'a', ...requesting('100m') }], initContainers: [], overhead: { cpu: '5m' } },
      105,
    ],
  ])('%s', (_, spec, cpuMilli) => {
    expect(requestsOf(pod({ spec })).cpuMilli).toBe(cpuMilli)
  })
})

describe('the cost of a mesh', () => {
  test('is the requests of the profile and the sidecars, next to the free resources of the nodes', () => {
    expect(costOf(facts())).toEqual({
      text: 'Istio (profile default) requests 600m CPU and 2.1 GiB; 2 of 2 pods in shop would get a sidecar that requests 100m CPU and 128 MiB: 800m CPU and 2.4 GiB in total, of 3.8 CPU and 7.8 GiB free on the node',
      fits: true,
      worthIt: 'yes',
      why: 'shop has 2 services and 2 pods that can call each other',
    })
  })

  test.each<[string, Partial<CostFacts>, boolean, RegExp]>([
    [
      'fits when it needs exactly what is free',
      { profile: 'demo', nodes: [node('250m', '2Gi')] },
      true,
      /: 50m CPU and 260 MiB in total, of 50m CPU/,
    ],
    [
      'does not fit when 1m of CPU is missing',
      { profile: 'demo', nodes: [node('249m', '2Gi')] },
      false,
      /It does not fit: 1m CPU are missing/,
    ],
    [
      'does not fit when memory is missing',
      { nodes: [node('4', '2Gi')] },
      false,
      /It does not fit: \d+ MiB are missing/,
    ],
    [
      'does not fit when no single node can run the control plane',
      { nodes: [node('4', '1536Mi'), node('4', '1536Mi', {}, 'node-2')] },
      false,
      /no single node has 500m CPU and 2 GiB free/,
    ],
    [
      'does not count an unschedulable node',
      { nodes: [node('100m', '1Gi'), node('4', '8Gi', { unschedulable: true }, 'node-2')] },
      false,
      /are missing/,
    ],
    [
      'does not count a node with a taint',
      { nodes: [node('100m', '1Gi'), node('4', '8Gi', { taints: [{ effect: 'NoSchedule' }] }, 'node-2')] },
      false,
      /are missing/,
    ],
    [
      'counts nodes with a taint when every node has one',
      { profile: 'demo', nodes: [node('1', '2Gi', { taints: [{ effect: 'NoSchedule' }] })] },
      true,
      /of 800m CPU/,
    ],
    [
      'may still fit when an autoscaler adds nodes',
      { nodes: [node('300m', '1Gi')], autoscales: true },
      true,
      /It does not fit: .*the autoscaler may add a node/,
    ],
    [
      'counts only sidecars when the control plane is installed',
      { hasControlPlane: true, sidecar: { cpuMilli: 10, memoryBytes: 40 * 1024 ** 2 } },
      true,
      /^The control plane is installed already; 2 of 2 .* requests 10m CPU and 40 MiB: 20m CPU and 80 MiB in total/,
    ],
    [
      'is nothing for pods that have a sidecar already',
      { hasControlPlane: true, pods: [pod()] },
      true,
      /0 of 1 pods .*: 0m CPU and 0 MiB in total/,
    ],
    [
      'leaves out pods in other namespaces',
      { pods: [withoutSidecar('a'), { ...withoutSidecar('x'), metadata: { name: 'x', namespace: 'other' } }] },
      true,
      /1 of 1 pods in shop/,
    ],
    [
      'counts only the pods that the run restarts, and fits with those',
      { nodes: [node('900m', '8Gi')], isInjected: ({ metadata }) => metadata.name === 'a' },
      true,
      /1 of 2 pods in shop would get a sidecar .*: 700m CPU/,
    ],
    [
      'leaves out the requests of pods that have ended',
      {
        profile: 'demo',
        nodes: [node('1', '2Gi')],
        pods: [{ ...withoutSidecar('a', '900m'), status: { phase: 'Succeeded' } }, withoutSidecar('b')],
      },
      true,
      /of 900m CPU/,
    ],
    [
      'falls back to the default profile for an unknown profile',
      { profile: 'ambient' },
      true,
      /the requests of the profile ambient are unknown, so these are those of default/,
    ],
  ])('%s', (_, more, fits, text) => {
    const cost = costOf(facts(more))
    expect(cost.text).toMatch(text)
    expect(cost.fits).toBe(fits)
  })

  test.each<[string, object, object | undefined, boolean]>([
    ['does not fit without an autoscaler', {}, undefined, false],
    ['may fit with a cluster autoscaler, which publishes its status', {}, {}, true],
    ['may fit with nodes of Karpenter', { 'karpenter.sh/nodepool': 'default' }, undefined, true],
  ])('%s', async (_, labels, status, fits) => {
    const small = node('300m', '1Gi')
    const cluster = clusterWith({
      list: (kind: string) =>
        Promise.resolve(kind === 'Node' ? [{ ...small, metadata: { ...small.metadata, labels } }] : []),
      get: (_kind: string, _namespace: string, name: string) =>
        Promise.resolve(name === 'cluster-autoscaler-status' ? status : undefined),
    })
    expect((await meshCost(cluster, 'shop')).fits).toBe(fits)
  })

  test.each<[string, Partial<CostFacts>, RegExp]>([
    [
      'a single service',
      { services: [service('a')] },
      /^shop has 1 service and 2 pods: nothing in it calls another service/,
    ],
    ['a single pod', { pods: [withoutSidecar('a')] }, /^shop has 2 services and 1 pod: /],
    [
      'services without their own pods',
      { services: [service('a'), { ...service('x'), spec: { ports: [{ port: 80 }] } }] },
      /^shop has 1 service/,
    ],
  ])('is doubtful, with the reason, for %s', (_, more, why) => {
    const cost = costOf(facts(more))
    expect(cost.worthIt).toBe('doubtful')
    expect(cost.why).toMatch(why)
  })
})

test('the cost counts the pods of the named workloads, and none if no workload is injected', async () => {
  const pods = ['a', 'b'].map((name) => {
    const one = withoutSidecar(name)
    return { ...one, metadata: { ...one.metadata, namespace: 'shop', labels: { app: name } } }
  })
  const cluster = clusterWith({
    list: (kind: string) => Promise.resolve(kind === 'Pod' ? pods : kind === 'Node' ? [node('4', '8Gi')] : []),
    get: (kind: string, _namespace: string, name: string) =>
      Promise.resolve(kind === 'Deployment' ? workload('Deployment', name) : undefined),
  })
  const named = await meshCost(cluster, 'shop', undefined, [{ kind: 'Deployment', name: 'a' }])
  expect(named.text).toContain('1 of 2 pods in shop')
  expect((await meshCost(cluster, 'shop', undefined, [])).text).toContain('0 of 2 pods in shop')
})

test.each([
  [[], false],
  [['profile=demo', 'meshConfig.accessLogFile=/dev/stdout'], false],
  [['values.global.proxy.resources.requests.cpu=10m'], true],
  [['components.ingressGateways[0].enabled=false'], true],
  [['values.pilot.autoscaleEnabled=false'], false],
])('the settings %j change the requests: %s', (set, changes) => {
  expect(changesRequests({ set })).toBe(changes)
})
