// What is refused before anything is touched, because of what is in the cluster.
import { describe, expect, test } from 'vitest'
import type { Cluster, Right } from '../../../src/cluster/client.ts'
import type { Meta } from '../../../src/cluster/objects.ts'
import { experimentClusterFaults } from '../../../src/experiments/safety.ts'
import { clusterWith, configOf, pod } from '../fixtures.ts'

type World = { namespace?: Partial<Meta>; pods?: number; lacks?: string[]; istiod?: boolean; canary?: boolean }

const allowed = { labels: { 'mesh-canary.io/experiments': 'allowed' } }

function clusterOf({ namespace = allowed, pods = 3, lacks = [], istiod = false, canary = false }: World): Cluster {
  const service = (name: string) => ({ kind: 'Service', metadata: { name, namespace: 'shop' }, spec: { ports: [] } })
  const own = Array.from({ length: pods }, (_, i) => pod({ metadata: { name: `backend-${i}`, uid: `${i}` } }))
  const controlPlane = istiod ? [pod({ metadata: { name: 'istiod-1', labels: { app: 'istiod' } } })] : []
  const ownerReferences = [{ kind: 'ReplicaSet', name: 'backend-canary-6f', uid: 'rs', controller: true }]
  const labels = { app: 'backend', track: 'canary' }
  const ofCanary = canary ? [pod({ metadata: { name: 'canary-1', uid: 'c', labels, ownerReferences } })] : []
  const template = { metadata: { labels: { app: 'backend' } }, spec: { containers: [] } }
  return clusterWith({
    list: (kind: string) =>
      Promise.resolve(kind === 'Pod' ? [...own, ...controlPlane, ...ofCanary] : [service('backend'), service('front')]),
    get: (kind: string, _: string, name: string) => {
      if (kind === 'Namespace') return Promise.resolve({ kind, metadata: { name: 'shop', ...namespace } })
      const found = { kind, metadata: { name }, spec: { selector: { matchLabels: { app: 'backend' } }, template } }
      return Promise.resolve(name === 'backend' ? found : undefined)
    },
    isAllowed: ({ verb, resource, subresource }: Right) =>
      Promise.resolve(!lacks.includes([verb, [resource, subresource].filter(Boolean).join('/')].join(' '))),
  })
}

const abort = 'service: front, inject: { abort: { status: 503, service: backend } }'
const faults = (world: World, settings = abort) =>
  experimentClusterFaults(clusterOf(world), configOf(`namespace: shop\nexperiments: { trial: { ${settings} } }`))

describe('a namespace', () => {
  test.each([
    ['with the label', allowed],
    ['with the annotation', { annotations: allowed.labels }],
  ])('%s may have experiments', async (_, namespace) => {
    expect(await faults({ namespace })).toEqual([])
  })

  test.each([
    ['without either', {}],
    ['with another value', { labels: { 'mesh-canary.io/experiments': 'no' } }],
  ])('%s is refused, with the command that allows them', async (_, namespace) => {
    expect(await faults({ namespace })).toEqual([
      'experiments: the namespace shop does not allow them; if it may have failures on purpose, run ' +
        '`kubectl label namespace shop mesh-canary.io/experiments=allowed`',
    ])
  })

  test('with a control plane is refused', async () => {
    expect((await faults({ istiod: true })).join()).toContain('has a control plane (istiod-1)')
  })
})

test.each([
  [
    'service: backend, inject: { overload: { service: backnd } }',
    'experiments.trial.inject.overload.service: the Service shop/backnd does not exist',
  ],
  [
    'service: frnt, inject: { overload: { service: backend } }',
    'experiments.trial.service: the Service shop/frnt does not exist',
  ],
  [
    'service: front, inject: { podKill: { workload: deploy/bakend } }',
    'inject.podKill.workload: the Deployment shop/bakend does not exist',
  ],
])('what is named and not there is refused: %s', async (settings, message) => {
  expect((await faults({}, settings)).join()).toContain(message)
})

describe('of the pods', () => {
  const kill = (more = '') => `service: front, inject: { podKill: { workload: deploy/backend, ${more} } }`

  test.each([
    [3, kill(), []],
    [3, kill('count: 2'), ['affects 2 of 3 pods']],
    [1, kill(), ['affects 1 of 1 pods']],
    [1, `${kill()}, maxAffected: 100%`, []],
    [0, kill(), ['has no pods']],
  ])('with %i of them, %s affects few enough or is refused', async (pods, settings, messages) => {
    const found = await faults({ pods }, settings)
    expect(found).toHaveLength(messages.length)
    messages.forEach((message, i) => expect(found[i]).toContain(message))
  })
})

describe('the pods of another workload with all of the labels,', () => {
  test('such as a canary, are not of the workload', async () => {
    const kill = 'service: front, inject: { podKill: { workload: deploy/backend, count: 2 } }'
    expect((await faults({ pods: 3, canary: true }, kill)).join()).toContain('affects 2 of 3 pods')
  })

  test('would be cut off as well, so a partition is refused', async () => {
    const cut = 'service: front, inject: { partition: { workload: deploy/backend } }, maxAffected: 100%'
    expect(await faults({ canary: true }, cut)).toEqual([expect.stringContaining('the pod canary-1 has the labels')])
    expect(await faults({}, cut)).toEqual([])
  })
})

describe('clients', () => {
  test('in a namespace without any are refused: the name may be wrong', async () => {
    expect(await faults({}, `${abort}, clients: [no-such]`)).toEqual([
      'experiments.trial.clients: the namespace no-such has no running pod with a sidecar; correct the name',
    ])
    expect(await faults({}, `${abort}, clients: [shop]`)).toEqual([])
  })

  test('whose counters may not be read are refused', async () => {
    const all = await faults({ lacks: ['get pods/proxy'] }, `${abort}, clients: [web]`)
    expect(all[0]).toContain('clients: this account lacks rights in the namespace web: get pods/proxy; bind')
  })
})

test.each([
  ['create pods/eviction', 'service: front, inject: { podKill: { workload: deploy/backend } }'],
  ['patch virtualservices', abort],
  ['patch destinationrules', 'service: front, inject: { overload: {} }'],
  [
    'create authorizationpolicies',
    'service: front, inject: { partition: { workload: deploy/backend } }, maxAffected: 100%',
  ],
  ['create leases', abort],
  ['get pods/proxy', abort],
])('without the right to %s the experiment is refused', async (right, settings) => {
  const [fault, ...others] = await faults({ lacks: [right] }, settings)
  expect(others).toEqual([])
  expect(fault).toBe(
    `experiments: this account lacks rights in the namespace shop: ${right}; give it those of deploy/rbac/experiment.yaml`,
  )
})

test('without the right to read the rules of the mesh an overload is refused', async () => {
  expect(await faults({ lacks: ['list destinationrules'] }, 'service: front, inject: { overload: {} }')).toEqual([
    'experiments: this account lacks rights in the namespace istio-system: list destinationrules; give it those that ' +
      'deploy/rbac/experiment.yaml has for that namespace, so that an overload keeps the rules of the mesh',
  ])
  expect(await faults({ lacks: ['list destinationrules'] })).toEqual([])
})
