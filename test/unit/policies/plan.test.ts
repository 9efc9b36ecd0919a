import { managedByLabel } from '../../../src/cluster/labels.ts'
import { describe, expect, test } from 'vitest'
import { loadAll } from 'js-yaml'
import { ApiError } from '../../../src/cluster/api-error.ts'
import { diff } from '../../../src/policies/diff.ts'
import { planChanges, toYaml } from '../../../src/policies/plan.ts'
import {
  configLabel,
  leftByEarlier,
  ownerNamespaceLabel,
  ownerAnnotation,
  ownerId,
  withOwnerMarks,
  type Owner,
} from '../../../src/policies/owned-objects.ts'
import { ownerNamed } from '../fixtures.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { recordingCluster, policy, route, rule, type Policy } from './recording-cluster.ts'

const name = 'github.test/acme/shop mesh.yaml'
const owner = ownerNamed(name)
const timeout = (value: string, labels = {}) =>
  policy('VirtualService', 'backend', { hosts: ['backend'], http: [{ timeout: value }] }, { labels })
const mine = <T extends Parameters<typeof withOwnerMarks>[0]>(object: T) => withOwnerMarks(object, owner)

test('an owner has an id of eight hexadecimal digits that depends only on its name', () => {
  expect(ownerId(name)).toMatch(/^[0-9a-f]{8}$/)
  expect(ownerId(name)).toBe(ownerId(name))
  expect(ownerId(name)).not.toBe(ownerId('github.test/acme/other mesh.yaml'))
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
      [
        `+ labels["${managedByLabel}"]: mesh-canary`,
        `+ labels["${configLabel}"]: ${ownerId(name)}`,
        `+ annotations["${ownerAnnotation}"]: ${name}`,
        '+ spec.egress: []',
      ],
    ],
    ['change', 'VirtualService', ['- spec.http[0].timeout: 10s', '+ spec.http[0].timeout: 5s']],
    ['unchanged', 'DestinationRule', []],
    [
      'delete',
      'Telemetry',
      [
        `- labels["${managedByLabel}"]: mesh-canary`,
        `- labels["${configLabel}"]: ${ownerId(name)}`,
        `- annotations["${ownerAnnotation}"]: ${name}`,
        '- spec: {}',
      ],
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
  const other = ownerNamed('github.test/acme/other mesh.yaml')
  test.each([
    ['deletes our objects', mine(timeout('1s')), true],
    ['deletes our objects in istio-system', mine(policy('Gateway', 'g', {}, { namespace: 'istio-system' })), true],
    ['keeps objects of another config', withOwnerMarks(timeout('1s'), other), false],
    [
      'keeps objects in istio-system of a config with the same name for another namespace',
      withOwnerMarks(policy('Gateway', 'g', {}, { namespace: 'istio-system' }), ownerNamed(name, 'staging')),
      false,
    ],
    [
      'keeps objects in another namespace of a config with the same name',
      withOwnerMarks(policy('Gateway', 'g', {}, { namespace: 'staging' }), ownerNamed(name, 'staging')),
      false,
    ],
    ['keeps objects without labels', timeout('1s'), false],
    ['keeps objects with only the label of the manager', timeout('1s', { [configLabel]: ownerId(name) }), false],
    ['keeps objects with only the label of the config', timeout('1s', { [managedByLabel]: 'mesh-canary' }), false],
    ['keeps objects of another tool', timeout('1s', { [managedByLabel]: 'Helm', [configLabel]: ownerId(name) }), false],
  ])('%s', async (_, object, deleted) => {
    const planned = await planChanges(recordingCluster([object]).cluster, [], owner)
    expect(planned.map(({ action }) => action)).toEqual(deleted ? ['delete'] : [])
  })

  test('deletes nothing when the config has no name, because other steps of the workflow share that', async () => {
    const nameless = { ...ownerNamed('inputs'), prunes: false }
    expect(
      await planChanges(recordingCluster([withOwnerMarks(timeout('1s'), nameless)]).cluster, [], nameless),
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
    expect(mine(rule('v1')).metadata.labels).not.toHaveProperty(ownerNamespaceLabel)
    expect(mine(policy('Gateway', 'g', {}, { namespace: 'istio-system' })).metadata.labels?.[ownerNamespaceLabel]).toBe(
      'shop',
    )
  })
})

describe('objects of an earlier version, whose label two repositories may share', () => {
  const other = ownerNamed('github.test/acme/web mesh.yaml')
  const old = <T extends KubeObject>(object: T, of = 'mesh-yaml'): T => ({
    ...object,
    metadata: { ...object.metadata, labels: { [managedByLabel]: 'mesh-canary', [configLabel]: ownerId(of) } },
  })

  test('are taken over if the config asks for them, and otherwise stay and are reported', async () => {
    const theirs = old(policy('AuthorizationPolicy', 'default-deny', {}))
    const { cluster } = recordingCluster([old(timeout('1s')), theirs, old(rule('v1'), 'other-yaml')])
    const planned = await planChanges(cluster, [timeout('1s')], owner)
    expect(planned.map(({ action, object }) => `${action} ${object.kind}`)).toEqual(['change VirtualService'])
    expect(planned[0]!.diff).toContainEqual(`+ annotations["${ownerAnnotation}"]: ${name}`)
    expect(await leftByEarlier(cluster, owner, [timeout('1s')])).toEqual([theirs])
  })

  test('of two repositories end with the one that asks for each, and neither deletes those of the other', async () => {
    const { cluster, stored, calls } = recordingCluster([old(timeout('1s')), old(rule('v1'))])
    const run = async (objects: Policy[], by: Owner) => {
      const planned = await planChanges(cluster, objects, by)
      for (const { object, action } of planned) if (action === 'change') await cluster.apply(object)
      return planned.map(({ action }) => action)
    }
    expect(await run([timeout('1s')], owner)).toEqual(['change'])
    expect(await run([rule('v1')], other)).toEqual(['change'])
    expect(await run([timeout('1s')], owner)).toEqual(['unchanged'])
    expect(await run([rule('v1')], other)).toEqual(['unchanged'])
    expect(stored.size).toBe(2)
    expect(calls).not.toContainEqual(expect.stringContaining('remove'))
  })

  test('are refused by the name of their owner once it has taken them over', async () => {
    const { cluster } = recordingCluster([withOwnerMarks(timeout('1s'), other)])
    await expect(planChanges(cluster, [timeout('1s')], owner)).rejects.toThrow(
      'policies: VirtualService shop/backend belongs to another config of mesh-canary (github.test/acme/web mesh.yaml)',
    )
  })

  test('in another namespace are not taken over', async () => {
    const gateway = policy('Gateway', 'g', {}, { namespace: 'istio-system' })
    const live = old(gateway)
    live.metadata.labels![ownerNamespaceLabel] = 'staging'
    await expect(planChanges(recordingCluster([live]).cluster, [gateway], owner)).rejects.toThrow(
      'of the namespace staging',
    )
  })
})

test('an object from before the config had a name is changed and pruned as its own', async () => {
  const named: Owner = { ...owner, names: ['shop', name] }
  const { cluster } = recordingCluster([mine(timeout('1s')), mine(rule('v1'))])
  const planned = await planChanges(cluster, [timeout('1s')], named)
  expect(planned.map(({ action, object }) => `${action} ${object.kind}`)).toEqual([
    'change VirtualService',
    'delete DestinationRule',
  ])
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

describe('a subset to which a route of another namespace sends traffic', () => {
  const destination = { host: 'backend.shop.svc.cluster.local', subset: 'v2' }
  const theirs = policy('VirtualService', 'web', { hosts: ['shop.test'], http: [{ route: [{ destination }] }] })
  theirs.metadata.namespace = 'istio-ingress'
  const planned = (live: Policy, onUnread?: (warning: string) => void, mayRead = true, more: Policy[] = []) => {
    const { cluster } = recordingCluster([mine(live), theirs, ...more])
    const list: typeof cluster.list = (kind, namespace, query) =>
      mayRead || namespace !== undefined || kind !== 'VirtualService'
        ? cluster.list(kind, namespace, query)
        : Promise.reject(new ApiError(403, 'forbidden'))
    return planChanges({ ...cluster, list }, [rule('v1')], owner, onUnread && { onUnread })
  }

  test('may not be removed', async () => {
    await expect(planned(rule('v1', 'v2'))).rejects.toThrow(
      'would lose the subset v2, but the VirtualService istio-ingress/web, which this config does not own',
    )
  })

  test('may be removed if that namespace has a rule of its own, which its callers follow', async () => {
    const own = policy('DestinationRule', 'backend', { host: destination.host, subsets: [{ name: 'v2' }] })
    own.metadata.namespace = 'istio-ingress'
    expect(await planned(rule('v1', 'v2'), undefined, true, [own])).toMatchObject([{ action: 'change' }])
  })

  test('may be removed if that namespace does not see it', async () => {
    const hidden = rule('v1', 'v2')
    expect(await planned({ ...hidden, spec: { ...hidden.spec, exportTo: ['.'] } })).toMatchObject([
      { action: 'change' },
    ])
  })

  test('is removed with a warning if the account may not read the route', async () => {
    const warnings: string[] = []
    await planned(rule('v1', 'v2'), (warning) => warnings.push(warning), false)
    expect(warnings).toEqual([
      'this account may not read the VirtualServices of other namespaces; if one sends traffic to v2 of the ' +
        'DestinationRule shop/backend, its callers will get a 503',
    ])
  })
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
