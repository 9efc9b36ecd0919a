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

describe('the workloads that lack a sidecar', () => {
  const bare = (app: string, more: Partial<Pod['metadata']> = {}) =>
    pod({ metadata: { labels: { app }, ...more }, spec: { initContainers: [] } })
  const [a, b, c] = ['a', 'b', 'c'].map((name) => workload('Deployment', name)) as [Workload, Workload, Workload]

  test('are those with a pod that should have one and has none, in the order given', () => {
    const pods = [bare('a'), pod({ metadata: { labels: { app: 'b' } } }), bare('c')]
    expect(lackingSidecar([c, b, a], pods)).toEqual([c, a])
  })

  test('one pod of several is enough', () => {
    expect(lackingSidecar([a], [pod({ metadata: { labels: { app: 'a' } } }), bare('a')])).toEqual([a])
  })

  test('or one of another revision than the one asked for; with none asked for, any is right', () => {
    const of = (app: string, revision: string) =>
      pod({ metadata: { labels: { app }, annotations: { 'sidecar.istio.io/status': JSON.stringify({ revision }) } } })
    const pods = [of('a', 'canary'), of('b', 'default'), pod({ metadata: { labels: { app: 'c' } } })]
    expect(lackingSidecar([a, b, c], pods, 'canary')).toEqual([b])
    expect(lackingSidecar([a, b, c], pods)).toEqual([])
  })

  test('are known by the labels of their template where the selector holds only expressions', () => {
    const byExpression = (workload: Workload): Workload => ({
      ...workload,
      spec: {
        selector: {},
        template: { metadata: { labels: workload.spec.selector.matchLabels! }, spec: { containers: [] } },
      },
    })
    expect(
      lackingSidecar([byExpression(a), byExpression(b)], [bare('b')]).map(({ metadata }) => metadata.name),
    ).toEqual(['b'])
  })

  test.each<[string, Pod[]]>([
    ['no pod', []],
    ['only pods that are being deleted', [bare('a', { deletionTimestamp: '2026-01-01T00:00:00Z' })]],
    ['only pods that opted out', [bare('a', { labels: { app: 'a', 'sidecar.istio.io/inject': 'false' } })]],
  ])('are not those with %s', (_, pods) => {
    expect(lackingSidecar([a], pods)).toEqual([])
  })
})

// The next two need only know which objects are asked for and written, which a fake of the API server tells more plainly.
describe('where a namespace is to point', () => {
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
      'nothing is asked of one without a label',
      {},
      undefined,
      plain,
      { labels: enabled, before: { 'istio-injection': null }, revision: 'default' },
    ],
    [
      'one that asks for sidecars is left',
      enabled,
      undefined,
      plain,
      { before: {}, from: 'default', revision: 'default' },
    ],
    [
      'one with a revision is left to it',
      { 'istio.io/rev': 'canary' },
      undefined,
      plain,
      { before: {}, from: 'canary', revision: 'canary' },
    ],
    [
      'one with a tag is left to that',
      { 'istio.io/rev': 'prod' },
      undefined,
      [['prod', 'canary']],
      { before: {}, from: 'canary', revision: 'canary' },
    ],
    [
      'one that says no is asked to',
      { 'istio-injection': 'disabled' },
      undefined,
      plain,
      { labels: enabled, before: { 'istio-injection': 'disabled' }, revision: 'default' },
    ],
    [
      'one that says no beside a revision too',
      { 'istio-injection': 'disabled', 'istio.io/rev': 'canary' },
      undefined,
      plain,
      { labels: enabled, before: { 'istio-injection': 'disabled' }, revision: 'default' },
    ],
    [
      'to a revision: not both labels',
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
      'to where it points already',
      { 'istio.io/rev': 'canary' },
      { revision: 'canary' },
      plain,
      { before: { 'istio.io/rev': 'canary', 'istio-injection': null }, from: 'canary', revision: 'canary' },
    ],
    [
      'to a revision by a tag that is new',
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
      'to a revision by a tag that moves',
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
      'back to the one without a name',
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
      'back to it where the tag of all has moved',
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
      'by a tag that may not be read: whose sidecars are right is not known',
      { 'istio.io/rev': 'prod' },
      { revision: 'canary', tag: 'prod' },
      'forbidden',
      { before: { 'istio.io/rev': 'prod', 'istio-injection': null } },
    ],
    [
      'with tags that may not be read, to what is not known',
      { 'istio.io/rev': 'prod' },
      undefined,
      'forbidden',
      { before: {} },
    ],
    [
      'with tags that may not be read, to a revision',
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

  test('is told as labels that come and go', () => {
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

describe('the workloads to look at', () => {
  const objects = [workload('Deployment', 'web'), workload('StatefulSet', 'db'), workload('DaemonSet', 'agent')]
  const cluster = clusterWith({
    get: (kind: string, _: string, name: string) =>
      Promise.resolve(objects.find((each) => each.kind === kind && each.metadata.name === name)),
    list: (kind: string) => Promise.resolve(objects.filter((each) => each.kind === kind)),
  })
  const names = (found: Workload[]) => found.map(({ metadata }) => metadata.name)

  test('are those named, in their order', async () => {
    expect(
      names(
        await selectWorkloads(cluster, 'shop', [
          { kind: 'DaemonSet', name: 'agent' },
          { kind: 'Deployment', name: 'web' },
        ]),
      ),
    ).toEqual(['agent', 'web'])
  })

  test('are all of the namespace, what keeps data first', async () => {
    expect(names(await selectWorkloads(cluster, 'shop', 'all'))).toEqual(['db', 'web', 'agent'])
  })
})
