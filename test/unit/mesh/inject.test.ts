import { describe, expect, test } from 'vitest'
import type { Pod, Workload } from '../../../src/cluster/objects.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import {
  lackingSidecar,
  planNamespaceMove,
  selectWorkloads,
  describeLabels,
  type NamespaceMove,
} from '../../../src/mesh/inject.ts'
import { clusterWith, pod, workload } from '../fixtures.ts'

describe('the workloads without a sidecar', () => {
  const withoutSidecar = (app: string, more: Partial<Pod['metadata']> = {}) =>
    pod({ metadata: { labels: { app }, ...more }, spec: { initContainers: [] } })
  const [a, b, c] = ['a', 'b', 'c'].map((name) => workload('Deployment', name)) as [Workload, Workload, Workload]

  test('are those with a pod that should have one and does not, in the given order', () => {
    const pods = [withoutSidecar('a'), pod({ metadata: { labels: { app: 'b' } } }), withoutSidecar('c')]
    expect(lackingSidecar([c, b, a], pods)).toEqual([c, a])
  })

  test('include one with a single such pod among several', () => {
    expect(lackingSidecar([a], [pod({ metadata: { labels: { app: 'a' } } }), withoutSidecar('a')])).toEqual([a])
  })

  test('include those with a sidecar of another revision, if a revision is given', () => {
    const of = (app: string, revision: string) =>
      pod({ metadata: { labels: { app }, annotations: { 'sidecar.istio.io/status': JSON.stringify({ revision }) } } })
    const pods = [of('a', 'canary'), of('b', 'default'), pod({ metadata: { labels: { app: 'c' } } })]
    expect(lackingSidecar([a, b, c], pods, 'canary')).toEqual([b])
    expect(lackingSidecar([a, b, c], pods)).toEqual([])
  })

  test('are found by the labels of their template when the selector has only expressions', () => {
    const byExpression = (workload: Workload): Workload => ({
      ...workload,
      spec: {
        selector: {},
        template: { metadata: { labels: workload.spec.selector.matchLabels! }, spec: { containers: [] } },
      },
    })
    expect(
      lackingSidecar([byExpression(a), byExpression(b)], [withoutSidecar('b')]).map(({ metadata }) => metadata.name),
    ).toEqual(['b'])
  })

  test.each<[string, Pod[]]>([
    ['without a pod', []],
    ['with only pods that are being deleted', [withoutSidecar('a', { deletionTimestamp: '2026-01-01T00:00:00Z' })]],
    [
      'with only pods that opted out',
      [withoutSidecar('a', { labels: { app: 'a', 'sidecar.istio.io/inject': 'false' } })],
    ],
  ])('exclude a workload %s', (_, pods) => {
    expect(lackingSidecar([a], pods)).toEqual([])
  })
})

// The next tests check which objects are read and written. A fake API server shows that more clearly than a real one.
describe('the plan to move a namespace', () => {
  const webhook = ([tag, revision]: [string, string]) => ({
    metadata: { name: tag, labels: { 'istio.io/tag': tag, 'istio.io/rev': revision } },
  })
  const clusterOf = (labels: Record<string, string>, tags: [string, string][] | 'forbidden') =>
    clusterWith({
      get: () => Promise.resolve({ metadata: { name: 'shop', labels } }),
      list: () => (tags === 'forbidden' ? Promise.reject(new ApiError(403, 'no')) : Promise.resolve(tags.map(webhook))),
    })
  const enabled = { 'istio-injection': 'enabled' }
  const plain: [string, string][] = [['default', 'default']]

  test.each<
    [
      string,
      Record<string, string>,
      { revision?: string; tag?: string } | undefined,
      [string, string][] | 'forbidden',
      NamespaceMove,
    ]
  >([
    [
      'adds the injection label to a namespace without labels',
      {},
      undefined,
      plain,
      { labels: enabled, before: { 'istio-injection': null }, revision: 'default' },
    ],
    [
      'leaves a namespace with the injection label',
      enabled,
      undefined,
      plain,
      { before: {}, from: 'default', revision: 'default' },
    ],
    [
      'leaves a namespace with a revision',
      { 'istio.io/rev': 'canary' },
      undefined,
      plain,
      { before: {}, from: 'canary', revision: 'canary' },
    ],
    [
      'leaves a namespace with a tag',
      { 'istio.io/rev': 'prod' },
      undefined,
      [['prod', 'canary']],
      { before: {}, from: 'canary', revision: 'canary' },
    ],
    [
      'to a revision removes the injection label',
      enabled,
      { revision: 'canary' },
      plain,
      {
        labels: { 'istio.io/rev': 'canary', 'istio-injection': null },
        before: { 'istio.io/rev': null, 'istio-injection': 'enabled' },
        from: 'default',
        revision: 'canary',
      },
    ],
    [
      'to its current revision changes nothing',
      { 'istio.io/rev': 'canary' },
      { revision: 'canary' },
      plain,
      { before: { 'istio.io/rev': 'canary', 'istio-injection': null }, from: 'canary', revision: 'canary' },
    ],
    [
      'to a revision through a new tag creates the tag',
      enabled,
      { revision: 'canary', tag: 'prod' },
      plain,
      {
        labels: { 'istio.io/rev': 'prod', 'istio-injection': null },
        before: { 'istio.io/rev': null, 'istio-injection': 'enabled' },
        tag: { name: 'prod', to: 'canary', from: undefined },
        from: 'default',
        revision: 'canary',
      },
    ],
    [
      'to a revision through an existing tag moves the tag',
      { 'istio.io/rev': 'prod' },
      { revision: 'canary', tag: 'prod' },
      [['prod', 'old']],
      {
        before: { 'istio.io/rev': 'prod', 'istio-injection': null },
        tag: { name: 'prod', to: 'canary', from: 'old' },
        from: 'old',
        revision: 'canary',
      },
    ],
    [
      'to the default revision restores the injection label',
      { 'istio.io/rev': 'canary' },
      { revision: 'default' },
      plain,
      {
        labels: { 'istio-injection': 'enabled', 'istio.io/rev': null },
        before: { 'istio-injection': null, 'istio.io/rev': 'canary' },
        from: 'canary',
        revision: 'default',
      },
    ],
    [
      'to the default revision moves the default tag back to it',
      enabled,
      { revision: 'default' },
      [['default', 'canary']],
      {
        before: { 'istio-injection': 'enabled', 'istio.io/rev': null },
        tag: { name: 'default', to: 'default', from: 'canary' },
        from: 'canary',
        revision: 'default',
      },
    ],
    [
      'through a tag that the account may not read leaves the revisions unknown',
      { 'istio.io/rev': 'prod' },
      { revision: 'canary', tag: 'prod' },
      'forbidden',
      { before: { 'istio.io/rev': 'prod', 'istio-injection': null } },
    ],
    [
      'without a target leaves the revisions unknown when the account may not read the tags',
      { 'istio.io/rev': 'prod' },
      undefined,
      'forbidden',
      { before: {} },
    ],
    [
      'to a revision leaves only the source unknown when the account may not read the tags',
      enabled,
      { revision: 'canary' },
      'forbidden',
      {
        labels: { 'istio.io/rev': 'canary', 'istio-injection': null },
        before: { 'istio.io/rev': null, 'istio-injection': 'enabled' },
        revision: 'canary',
      },
    ],
  ])('%s', async (_, labels, istio, tags, move) => {
    expect(await planNamespaceMove(clusterOf(labels, tags), 'shop', istio)).toEqual(move)
  })

  test('is described by the labels that it adds and removes', () => {
    expect(
      describeLabels(
        { 'istio.io/rev': 'canary', 'istio-injection': null },
        { 'istio.io/rev': null, 'istio-injection': 'enabled' },
      ),
    ).toBe('istio.io/rev=canary, without istio-injection=enabled, which would win over it')
    expect(
      describeLabels(
        { 'istio-injection': 'enabled', 'istio.io/rev': null },
        { 'istio-injection': null, 'istio.io/rev': null },
      ),
    ).toBe('istio-injection=enabled')
  })
})

describe('selectWorkloads', () => {
  const objects = [workload('Deployment', 'web'), workload('StatefulSet', 'db'), workload('DaemonSet', 'agent')]
  const cluster = clusterWith({
    get: (kind: string, _: string, name: string) =>
      Promise.resolve(objects.find((each) => each.kind === kind && each.metadata.name === name)),
    list: (kind: string) => Promise.resolve(objects.filter((each) => each.kind === kind)),
  })
  const names = (found: Workload[]) => found.map(({ metadata }) => metadata.name)

  test('returns the named workloads in their order', async () => {
    expect(
      names(
        await selectWorkloads(cluster, 'shop', [
          { kind: 'DaemonSet', name: 'agent' },
          { kind: 'Deployment', name: 'web' },
        ]),
      ),
    ).toEqual(['agent', 'web'])
  })

  test('returns all workloads of the namespace, StatefulSets first', async () => {
    expect(names(await selectWorkloads(cluster, 'shop', 'all'))).toEqual(['db', 'web', 'agent'])
  })
})
