import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { Workload } from '../../../src/cluster/objects.ts'
import { injectorFaults, isSelected, readInjectors } from '../../../src/mesh/injectors.ts'
import { clusterWith, workload } from '../fixtures.ts'

const withLabels = (labels: Record<string, string>): Workload => {
  const one = workload('Deployment', 'cart')
  return { ...one, spec: { ...one.spec, template: { ...one.spec.template, metadata: { labels } } } }
}
const is = (key: string, ...values: string[]) => ({ key, operator: 'In', values })
const not = (key: string, ...values: string[]) => ({ key, operator: 'NotIn', values })
/** The webhooks of a revision, as Istio's chart writes them. */
const configuration = (name: string, labels: Record<string, string>, ...namespaces: object[]) => ({
  metadata: { name, labels },
  webhooks: namespaces.map((each) => ({
    name: 'namespace.sidecar-injector.istio.io',
    namespaceSelector: { matchExpressions: [each] },
    objectSelector: { matchExpressions: [not('sidecar.istio.io/inject', 'false')] },
  })),
})
const injectors = async (...more: object[]) =>
  (await readInjectors(
    clusterWith({
      list: () =>
        Promise.resolve([
          configuration(
            'istio-sidecar-injector',
            { 'istio.io/rev': 'default' },
            is('istio.io/rev', 'default'),
            is('istio-injection', 'enabled'),
          ),
          configuration(
            'istio-revision-tag-prod',
            { 'istio.io/tag': 'prod', 'istio.io/rev': '1-31' },
            is('istio.io/rev', 'prod'),
          ),
          { metadata: { name: 'policy', labels: {} }, webhooks: [{ name: 'pods.policy.test' }] },
          ...more,
        ]),
    }),
  ))!
const cart = withLabels({ app: 'cart' })

describe('the injectors', () => {
  test.each<[string, Record<string, string | null>]>([
    ['injection enabled', { 'istio-injection': 'enabled' }],
    ['a revision', { 'istio.io/rev': 'default' }],
    ['a tag', { 'istio.io/rev': 'prod' }],
  ])('take pods of a namespace with %s', async (_, labels) => {
    expect(injectorFaults(await injectors(), 'shop', labels, [cart])).toEqual([])
  })

  test('report a revision that none of them serves, and the ones that there are', async () => {
    expect(injectorFaults(await injectors(), 'shop', { 'istio.io/rev': '1-29' }, [cart])).toEqual([
      expect.stringMatching(
        /shop asks for sidecars by istio.io\/rev=1-29, but no injector .* \(there are: default, prod\)/,
      ),
    ])
  })

  test('report that injection is enabled in a mesh that has only revisions', () => {
    const revisions = [
      { name: '1-31', webhooks: [{ name: 'x', namespaceSelector: { matchLabels: { 'istio.io/rev': '1-31' } } }] },
    ]
    expect(injectorFaults(revisions, 'shop', { 'istio-injection': 'enabled' }, [cart])).toEqual([
      expect.stringContaining('by istio-injection=enabled, but no injector'),
    ])
  })

  test('report a cluster without Istio', () => {
    expect(injectorFaults([], 'shop', { 'istio-injection': 'enabled' }, [cart])).toEqual([
      expect.stringContaining('(there are: none)'),
    ])
  })

  test('report the one workload whose labels keep it out', async () => {
    const other = withLabels({ app: 'cart', 'sidecar.istio.io/inject': 'false' })
    expect(injectorFaults(await injectors(), 'shop', { 'istio-injection': 'enabled' }, [cart, other])).toEqual([
      expect.stringMatching(/takes the pods of Deployment shop\/cart, .*sidecar.istio.io\/inject=false/),
    ])
  })

  test('report nothing if nothing would be restarted', () => {
    expect(injectorFaults([], 'shop', {}, [])).toEqual([])
  })

  test('are unknown without the right to read them', async () => {
    const cluster = clusterWith({ list: () => Promise.reject(new ApiError(403, 'no')) })
    expect(await readInjectors(cluster)).toBeUndefined()
  })
})

test.each<[Parameters<typeof isSelected>[0], boolean]>([
  [undefined, true],
  [{}, true],
  [{ matchLabels: { app: 'cart' } }, true],
  [{ matchLabels: { app: 'web' } }, false],
  [{ matchExpressions: [{ key: 'app', operator: 'In', values: ['web', 'cart'] }] }, true],
  [{ matchExpressions: [{ key: 'tier', operator: 'In', values: ['web'] }] }, false],
  [{ matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['cart'] }] }, false],
  [{ matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['web'] }] }, true],
  [{ matchExpressions: [{ key: 'app', operator: 'Exists' }] }, true],
  [{ matchExpressions: [{ key: 'gone', operator: 'Exists' }] }, false],
  [{ matchExpressions: [{ key: 'gone', operator: 'DoesNotExist' }] }, true],
])('the selector %j selects the labels as Kubernetes does: %s', (selector, expected) => {
  expect(isSelected(selector, { app: 'cart', gone: null })).toBe(expected)
})
