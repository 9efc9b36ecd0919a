import { describe, expect, test } from 'vitest'
import type { Pod, Workload } from '../../../src/cluster/objects.ts'
import { labelNamespace, lackingSidecar, selectWorkloads } from '../../../src/mesh/inject.ts'
import { clusterWith, pod, workload } from '../fixtures.ts'

describe('the workloads that lack a sidecar', () => {
  const bare = (app: string, more: Partial<Pod['metadata']> = {}) => pod({ metadata: { labels: { app }, ...more }, spec: { initContainers: [] } })
  const [a, b, c] = ['a', 'b', 'c'].map((name) => workload('Deployment', name)) as [Workload, Workload, Workload]

  test('are those with a pod that should have one and has none, in the order given', () => {
    const pods = [bare('a'), pod({ metadata: { labels: { app: 'b' } } }), bare('c')]
    expect(lackingSidecar([c, b, a], pods)).toEqual([c, a])
  })

  test('one pod of several is enough', () => {
    expect(lackingSidecar([a], [pod({ metadata: { labels: { app: 'a' } } }), bare('a')])).toEqual([a])
  })

  test('are known by the labels of their template where the selector holds only expressions', () => {
    const byExpression = (workload: Workload): Workload => ({ ...workload, spec: { selector: {}, template: { metadata: { labels: workload.spec.selector.matchLabels! }, spec: { containers: [] } } } })
    expect(lackingSidecar([byExpression(a), byExpression(b)], [bare('b')]).map(({ metadata }) => metadata.name)).toEqual(['b'])
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
describe('the label of the namespace', () => {
  test.each<[string, Record<string, string>, boolean]>([
    ['is set where there is none', {}, true],
    ['is left where it is', { 'istio-injection': 'enabled' }, false],
    ['is not set beside a revision', { 'istio.io/rev': 'canary' }, false],
    ['is set over one that says no', { 'istio-injection': 'disabled' }, true],
    ['is set over one that says no beside a revision', { 'istio-injection': 'disabled', 'istio.io/rev': 'canary' }, true],
  ])('%s', async (_, labels, changes) => {
    const written: unknown[] = []
    const cluster = clusterWith({
      get: () => Promise.resolve({ metadata: { name: 'shop', labels } }),
      merge: (...args: unknown[]) => Promise.resolve(written.push(args)),
    })
    expect(await labelNamespace(cluster, 'shop')).toBe(changes)
    expect(written).toEqual(changes ? [['Namespace', undefined, 'shop', { metadata: { labels: { 'istio-injection': 'enabled' } } }]] : [])
  })
})

describe('the workloads to look at', () => {
  const objects = [workload('Deployment', 'web'), workload('StatefulSet', 'db'), workload('DaemonSet', 'agent')]
  const cluster = clusterWith({
    get: (kind: string, _: string, name: string) => Promise.resolve(objects.find((each) => each.kind === kind && each.metadata.name === name)),
    list: (kind: string) => Promise.resolve(objects.filter((each) => each.kind === kind)),
  })
  const names = (found: Workload[]) => found.map(({ metadata }) => metadata.name)

  test('are those named, in their order', async () => {
    expect(names(await selectWorkloads(cluster, 'shop', [{ kind: 'DaemonSet', name: 'agent' }, { kind: 'Deployment', name: 'web' }]))).toEqual(['agent', 'web'])
  })

  test('are all of the namespace, what keeps data first', async () => {
    expect(names(await selectWorkloads(cluster, 'shop', 'all'))).toEqual(['db', 'web', 'agent'])
  })
})
