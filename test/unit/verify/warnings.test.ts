import { expect, test } from 'vitest'
import type { Pod, Service } from '../../../src/cluster/objects.ts'
import { policyWarnings, type ClusterFacts } from '../../../src/verify/warnings.ts'
import { pod } from '../fixtures.ts'

const service = (ports: Service['spec']['ports'] = [{ name: 'http', port: 80 }]): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'backend', namespace: 'shop' },
  spec: { selector: { app: 'backend' }, ports },
})
const headless = { ...service(), spec: { selector: { app: 'backend' } } } as unknown as Service
const of = (version: string, more: Parameters<typeof pod>[0] = {}) =>
  pod({ ...more, metadata: { name: `backend-${version}`, labels: { app: 'backend', version }, ...more.metadata } })
const withoutSidecar = (name: string, spec: Partial<Pod['spec']> = {}) =>
  pod({ metadata: { name, labels: {} }, spec: { initContainers: [], ...spec } })
const unready = of('v1', { metadata: { name: 'backend-2' }, status: { conditions: [] } })
const subsets = { v1: { version: 'v1' }, v2: { version: 'v2' } }
const factsWith = (more: Partial<ClusterFacts>): ClusterFacts => ({
  namespace: 'shop',
  isStrict: false,
  policies: {},
  services: [service()],
  pods: [of('v1'), of('v2')],
  ...more,
})

test.each<[string, Partial<ClusterFacts>, RegExp[]]>([
  ['a mesh without problems', { isStrict: true, policies: { backend: { subsets } } }, []],
  [
    'a subset without pods',
    { policies: { backend: { subsets } }, pods: [of('v1')] },
    [/^services\.backend\.subsets\.v2: no pod behind the Service shop\/backend has the labels version=v2.*503/],
  ],
  [
    'a subset whose only pod is being deleted',
    {
      policies: { backend: { subsets } },
      pods: [of('v1'), of('v2', { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } })],
    },
    [/subsets\.v2/],
  ],
  [
    'a subset whose labels select pods of another service',
    {
      policies: { backend: { subsets: { v1: { version: 'v1' } } } },
      pods: [of('v1', { metadata: { labels: { app: 'frontend', version: 'v1' } } })],
    },
    [/subsets\.v1/],
  ],
  [
    'STRICT with clients outside the mesh',
    { isStrict: true, pods: [of('v1'), withoutSidecar('cron'), withoutSidecar('agent', { hostNetwork: true })] },
    [/2 pods of shop without a sidecar send nothing else: cron, agent \(host network\)/],
  ],
  [
    'STRICT with one client outside the mesh',
    { isStrict: true, pods: [of('v1'), withoutSidecar('cron')] },
    [/a pod of shop without a sidecar sends nothing else: cron/],
  ],
  ['PERMISSIVE with clients outside the mesh', { isStrict: false, pods: [of('v1'), withoutSidecar('cron')] }, []],
  [
    'ejection with a single ready pod',
    {
      policies: { backend: { circuitBreaker: { consecutive5xxErrors: 5, maxEjectionPercent: 100 } } },
      pods: [of('v1'), unready],
    },
    [/single ready pod \(Service backend\) turns a few errors into 503 .*two replicas/],
  ],
  [
    'an ejection share too small for the only pod',
    {
      policies: { backend: { circuitBreaker: { consecutive5xxErrors: 5, maxEjectionPercent: 50 } } },
      pods: [of('v1'), unready],
    },
    [
      /single ready pod \(Service backend\) never happens, because one pod of one is more than maxEjectionPercent \(50%\); run two replicas/,
    ],
  ],
  [
    'ejection by its other keys',
    {
      policies: { backend: { circuitBreaker: { ejectFor: 30_000, maxEjectionPercent: 100 } } },
      pods: [of('v1'), unready],
    },
    [/single ready pod/],
  ],
  [
    'ejection at the default of Istio, about which the config check warns',
    { policies: { backend: { circuitBreaker: { consecutive5xxErrors: 5 } } }, pods: [of('v1'), unready] },
    [],
  ],
  [
    'ejection with a single ready pod in a subset',
    {
      policies: { backend: { subsets, circuitBreaker: { consecutive5xxErrors: 5, maxEjectionPercent: 100 } } },
      pods: [of('v1'), of('v1', { metadata: { name: 'other' } }), of('v2')],
    },
    [/\(subset v2 of backend\)/],
  ],
  [
    'ejection with two ready pods',
    { policies: { backend: { circuitBreaker: { consecutive5xxErrors: 5, maxEjectionPercent: 100 } } } },
    [],
  ],
  [
    'a connection limit with a single ready pod',
    { policies: { backend: { circuitBreaker: { maxConnections: 5 } } }, pods: [of('v1')] },
    [],
  ],
  [
    'a port without a name',
    { services: [service([{ port: 80 }])] },
    [/^Service shop\/backend: the port 80 does not name its protocol/],
  ],
  [
    'a port whose name states no protocol',
    { services: [service([{ name: 'web', port: 80 }])] },
    [/the port 80 \(web\)/],
  ],
  ['a port with an appProtocol', { services: [service([{ name: 'web', port: 80, appProtocol: 'http' }])] }, []],
  ['a headless service, which needs no ports', { services: [headless] }, []],
  ['a port of a service outside the mesh', { services: [service([{ port: 80 }])], pods: [withoutSidecar('cron')] }, []],
])('the warnings are exactly the expected ones for %s', (_, more, expected) => {
  const warnings = policyWarnings(factsWith(more))
  expect(warnings).toHaveLength(expected.length)
  expected.forEach((pattern, i) => expect(warnings[i]).toMatch(pattern))
})
