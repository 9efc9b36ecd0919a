import { managedByLabel } from '../../../src/cluster/labels.ts'
import { describe, expect, test } from 'vitest'
import { loadAll } from 'js-yaml'
import { ApiError } from '../../../src/cluster/api-error.ts'
import { diff } from '../../../src/policies/diff.ts'
import { planChanges, toYaml } from '../../../src/policies/plan.ts'
import { configLabel, withOwnerLabels, namespaceLabel, ownerOf } from '../../../src/policies/prune.ts'
import { recordingCluster, policy, route, rule } from './recording-cluster.ts'

const owner = ownerOf('mesh.yaml', 'shop')
const timeout = (value: string, labels = {}) =>
  policy('VirtualService', 'backend', { hosts: ['backend'], http: [{ timeout: value }] }, { labels })
const mine = <T extends Parameters<typeof withOwnerLabels>[0]>(object: T) => withOwnerLabels(object, owner)

test('an owner has an id of eight hexadecimal digits that depends only on its name', () => {
  expect(ownerOf('mesh.yaml', 'shop').id).toMatch(/^[0-9a-f]{8}$/)
  expect(ownerOf('mesh.yaml', 'a').id).toBe(ownerOf('mesh.yaml', 'b').id)
  expect(ownerOf('mesh.yaml', 'a').id).not.toBe(ownerOf('other.yaml', 'a').id)
})

test('a plan lists created, changed, deleted and unchanged objects, and writes nothing', async () => {
  const { cluster, calls } = recordingCluster([
    mine(timeout('10s')),
    mine(policy('Telemetry', 'old', {})),
    mine(rule('v1')),
  ])
  const planned = await planChanges(
    cluster,
    [policy('Sidecar', 'default', { egress: [] }), timeout('5s'), rule('v1')],
    owner,
  )
  expect(planned.map(({ action, object, diff: lines }) => [action, object.kind, lines])).toEqual([
    [
      'create',
      'Sidecar',
      [`+ labels["${managedByLabel}"]: mesh-canary`, `+ labels["${configLabel}"]: ${owner.id}`, '+ spec.egress: []'],
    ],
    ['change', 'VirtualService', ['- spec.http[0].timeout: 10s', '+ spec.http[0].timeout: 5s']],
    ['unchanged', 'DestinationRule', []],
    [
      'delete',
      'Telemetry',
      [`- labels["${managedByLabel}"]: mesh-canary`, `- labels["${configLabel}"]: ${owner.id}`, '- spec: {}'],
    ],
  ])
  expect(calls).toEqual([])
})

test('a plan creates everything when Istio is not installed yet', async () => {
  const { cluster } = recordingCluster([], () => new ApiError(404, 'the server could not find the requested resource'))
  expect((await planChanges(cluster, [rule('v1')], owner)).map(({ action }) => action)).toEqual(['create'])
})

test('a plan fails with the name of each object that the server rejects', async () => {
  const { cluster } = recordingCluster([], ({ kind }) =>
    kind === 'Sidecar' ? undefined : new ApiError(400, 'admission webhook denied the request'),
  )
  const objects = [rule('v1'), policy('Sidecar', 'default', {}), timeout('1s')]
  await expect(planChanges(cluster, objects, owner)).rejects.toThrow(
    /^DestinationRule shop\/backend: admission webhook denied the request\nVirtualService shop\/backend: admission webhook denied the request$/,
  )
})

describe('pruning', () => {
  const other = ownerOf('other.yaml', 'shop')
  test.each([
    ['deletes our objects', mine(timeout('1s')), true],
    ['deletes our objects in istio-system', mine(policy('Gateway', 'g', {}, { namespace: 'istio-system' })), true],
    ['keeps objects of another config', withOwnerLabels(timeout('1s'), other), false],
    [
      'keeps objects in istio-system of a config with the same name for another namespace',
      withOwnerLabels(policy('Gateway', 'g', {}, { namespace: 'istio-system' }), ownerOf('mesh.yaml', 'staging')),
      false,
    ],
    [
      'keeps objects in another namespace of a config with the same name',
      withOwnerLabels(policy('Gateway', 'g', {}, { namespace: 'staging' }), ownerOf('mesh.yaml', 'staging')),
      false,
    ],
    ['keeps objects without labels', timeout('1s'), false],
    ['keeps objects with only the label of the manager', timeout('1s', { [configLabel]: owner.id }), false],
    ['keeps objects with only the label of the config', timeout('1s', { [managedByLabel]: 'mesh-canary' }), false],
    ['keeps objects of another tool', timeout('1s', { [managedByLabel]: 'Helm', [configLabel]: owner.id }), false],
  ])('%s', async (_, object, deleted) => {
    const planned = await planChanges(recordingCluster([object]).cluster, [], owner)
    expect(planned.map(({ action }) => action)).toEqual(deleted ? ['delete'] : [])
  })

  test('deletes nothing when the config has no name, because other steps of the workflow share that', async () => {
    const nameless = ownerOf('inputs', 'shop')
    expect(
      await planChanges(recordingCluster([withOwnerLabels(timeout('1s'), nameless)]).cluster, [], nameless),
    ).toEqual([])
  })

  test('deletes nothing in istio-system when the account may not list there', async () => {
    const { cluster, stored } = recordingCluster([
      mine(timeout('1s')),
      mine(policy('Gateway', 'g', {}, { namespace: 'istio-system' })),
    ])
    const list: typeof cluster.list = (kind, namespace, query) =>
      namespace === 'istio-system'
        ? Promise.reject(new ApiError(403, 'forbidden'))
        : cluster.list(kind, namespace, query)
    expect(stored.size).toBe(2)
    expect((await planChanges({ ...cluster, list }, [], owner)).map(({ object }) => object.kind)).toEqual([
      'VirtualService',
    ])
  })

  test('marks only objects outside their namespace with that namespace', () => {
    expect(mine(rule('v1')).metadata.labels).not.toHaveProperty(namespaceLabel)
    expect(mine(policy('Gateway', 'g', {}, { namespace: 'istio-system' })).metadata.labels?.[namespaceLabel]).toBe(
      'shop',
    )
  })
})

describe('a plan for an object whose name exists', () => {
  test.each([
    [
      'fails if somebody else created it',
      {},
      'policies: VirtualService shop/backend exists already, and mesh-canary does not manage it',
    ],
    [
      'fails if another config owns it',
      { [managedByLabel]: 'mesh-canary', [configLabel]: '00000000' },
      'policies: VirtualService shop/backend belongs to another config of mesh-canary (mesh-canary.io/config=00000000)',
    ],
  ])('%s', async (_, labels, fault) => {
    await expect(
      planChanges(recordingCluster([timeout('1s', labels)]).cluster, [timeout('1s')], owner),
    ).rejects.toThrow(fault)
  })

  test('changes it if it was handed over', async () => {
    const planned = await planChanges(
      recordingCluster([timeout('1s', { [managedByLabel]: 'mesh-canary' })]).cluster,
      [timeout('1s')],
      owner,
    )
    expect(planned.map(({ action }) => action)).toEqual(['change'])
  })
})

test.each([
  ['drops the subset', [rule('v1')]],
  ['drops the rule', []],
])("a plan that %s to which somebody else's route sends traffic is rejected", async (_, desired) => {
  const theirs = { ...route(['v2', 100]), metadata: { name: 'theirs', namespace: 'shop' } }
  const { cluster } = recordingCluster([mine(rule('v1', 'v2')), theirs])
  await expect(planChanges(cluster, desired, owner)).rejects.toThrow(
    'the DestinationRule shop/backend would lose the subset v2, but the VirtualService shop/theirs, which this config does not own, sends traffic there',
  )
})

test('a difference lists changed lines in the order of the newer object', () => {
  const before = policy(
    'VirtualService',
    'a',
    { hosts: ['a'], http: [{ retries: { attempts: 3 } }], odd: '' },
    { labels: { 'x.io/y': '1' } },
  )
  const after = policy('VirtualService', 'a', { hosts: ['a', 'b'], http: [{ fault: {} }] })
  expect(diff(before, after)).toEqual([
    '+ spec.hosts[1]: b',
    '+ spec.http[0].fault: {}',
    '- labels["x.io/y"]: 1',
    '- spec.http[0].retries.attempts: 3',
    '- spec.odd: ""',
  ])
})

test('without a cluster the plan prints the objects as YAML, as the run would apply them', () => {
  const shared = { version: 'v1' }
  const objects = [
    policy('DestinationRule', 'a', {
      host: 'a',
      subsets: [
        { name: 'a', labels: shared },
        { name: 'b', labels: shared },
      ],
    }),
    rule('v1'),
  ]
  const text = toYaml(objects, owner)
  expect(loadAll(text)).toEqual(objects.map(mine))
  expect(text).not.toMatch(/[&*]a\d/)
})
