import { managedByLabel } from '../../../src/cluster/labels.ts'
import { describe, expect, test } from 'vitest'
import { loadAll } from 'js-yaml'
import { ApiError } from '../../../src/cluster/api-error.ts'
import { diff } from '../../../src/policies/diff.ts'
import { plan, toYaml } from '../../../src/policies/plan.ts'
import { configLabel, marked, namespaceLabel, ownerOf } from '../../../src/policies/prune.ts'
import { keeper, policy, route, rule } from './keeper.ts'

const owner = ownerOf('mesh.yaml', 'shop')
const timeout = (value: string, labels = {}) =>
  policy('VirtualService', 'backend', { hosts: ['backend'], http: [{ timeout: value }] }, { labels })
const mine = <T extends Parameters<typeof marked>[0]>(object: T) => marked(object, owner)

test('a config is known by eight digits of its name, always the same', () => {
  expect(ownerOf('mesh.yaml', 'shop').id).toMatch(/^[0-9a-f]{8}$/)
  expect(ownerOf('mesh.yaml', 'a').id).toBe(ownerOf('mesh.yaml', 'b').id)
  expect(ownerOf('mesh.yaml', 'a').id).not.toBe(ownerOf('other.yaml', 'a').id)
})

test('a plan tells what would be created, changed, deleted and left alone, and writes nothing', async () => {
  const { cluster, happened } = keeper([mine(timeout('10s')), mine(policy('Telemetry', 'old', {})), mine(rule('v1'))])
  const planned = await plan(cluster, [policy('Sidecar', 'default', { egress: [] }), timeout('5s'), rule('v1')], owner)
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
  expect(happened).toEqual([])
})

test('before Istio is there all is to be created', async () => {
  const { cluster } = keeper([], () => new ApiError(404, 'the server could not find the requested resource'))
  expect((await plan(cluster, [rule('v1')], owner)).map(({ action }) => action)).toEqual(['create'])
})

test('what the server does not take ends the plan, each object with its name', async () => {
  const { cluster } = keeper([], ({ kind }) =>
    kind === 'Sidecar' ? undefined : new ApiError(400, 'admission webhook denied the request'),
  )
  const asked = [rule('v1'), policy('Sidecar', 'default', {}), timeout('1s')]
  await expect(plan(cluster, asked, owner)).rejects.toThrow(
    /^DestinationRule shop\/backend: admission webhook denied the request\nVirtualService shop\/backend: admission webhook denied the request$/,
  )
})

describe('what is pruned', () => {
  const other = ownerOf('other.yaml', 'shop')
  test.each([
    ['ours', mine(timeout('1s')), true],
    ['ours in istio-system', mine(policy('Gateway', 'g', {}, { namespace: 'istio-system' })), true],
    ["another config's", marked(timeout('1s'), other), false],
    [
      "a config's of the same name for another namespace, in istio-system",
      marked(policy('Gateway', 'g', {}, { namespace: 'istio-system' }), ownerOf('mesh.yaml', 'staging')),
      false,
    ],
    [
      "a config's of the same name, in another namespace",
      marked(policy('Gateway', 'g', {}, { namespace: 'staging' }), ownerOf('mesh.yaml', 'staging')),
      false,
    ],
    ["somebody's without labels", timeout('1s'), false],
    ["somebody's with one of the labels", timeout('1s', { [configLabel]: owner.id }), false],
    ["somebody's with the other", timeout('1s', { [managedByLabel]: 'mesh-canary' }), false],
    ["another tool's", timeout('1s', { [managedByLabel]: 'Helm', [configLabel]: owner.id }), false],
  ])('%s', async (_, object, goes) => {
    const planned = await plan(keeper([object]).cluster, [], owner)
    expect(planned.map(({ action }) => action)).toEqual(goes ? ['delete'] : [])
  })

  test('nothing where inputs alone are all the name there is: another step of the workflow has the same', async () => {
    const nameless = ownerOf('inputs', 'shop')
    expect(await plan(keeper([marked(timeout('1s'), nameless)]).cluster, [], nameless)).toEqual([])
  })

  test('nothing in istio-system where the account may not look there', async () => {
    const { cluster, kept } = keeper([
      mine(timeout('1s')),
      mine(policy('Gateway', 'g', {}, { namespace: 'istio-system' })),
    ])
    const list: typeof cluster.list = (kind, namespace, query) =>
      namespace === 'istio-system'
        ? Promise.reject(new ApiError(403, 'forbidden'))
        : cluster.list(kind, namespace, query)
    expect(kept.size).toBe(2)
    expect((await plan({ ...cluster, list }, [], owner)).map(({ object }) => object.kind)).toEqual(['VirtualService'])
  })

  test('only what lives outside its namespace is marked with it', () => {
    expect(mine(rule('v1')).metadata.labels).not.toHaveProperty(namespaceLabel)
    expect(mine(policy('Gateway', 'g', {}, { namespace: 'istio-system' })).metadata.labels?.[namespaceLabel]).toBe(
      'shop',
    )
  })
})

describe('an object of the same name', () => {
  test.each([
    [
      "somebody's is left alone",
      {},
      'policies: VirtualService shop/backend exists already, and mesh-canary does not manage it',
    ],
    [
      "another config's is left alone",
      { [managedByLabel]: 'mesh-canary', [configLabel]: '00000000' },
      'policies: VirtualService shop/backend belongs to another config of mesh-canary (mesh-canary.io/config=00000000)',
    ],
  ])('%s', async (_, labels, fault) => {
    await expect(plan(keeper([timeout('1s', labels)]).cluster, [timeout('1s')], owner)).rejects.toThrow(fault)
  })

  test('that was handed over is taken', async () => {
    const planned = await plan(
      keeper([timeout('1s', { [managedByLabel]: 'mesh-canary' })]).cluster,
      [timeout('1s')],
      owner,
    )
    expect(planned.map(({ action }) => action)).toEqual(['change'])
  })
})

test.each([
  ['drops the subset', [rule('v1')]],
  ['drops the rule', []],
])('a plan that %s to which a stranger sends traffic is refused', async (_, desired) => {
  const theirs = { ...route(['v2', 100]), metadata: { name: 'theirs', namespace: 'shop' } }
  const { cluster } = keeper([mine(rule('v1', 'v2')), theirs])
  await expect(plan(cluster, desired, owner)).rejects.toThrow(
    'the DestinationRule shop/backend would lose the subset v2, but the VirtualService shop/theirs, which this config does not own, sends traffic there',
  )
})

test('a difference is told in plain lines, in the order of the newer state', () => {
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

test('without a cluster the objects are written as YAML, as they would be applied', () => {
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
