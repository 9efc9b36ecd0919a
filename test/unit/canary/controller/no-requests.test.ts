import { expect, test } from 'vitest'
import { explainNoRequests } from '../../../../src/canary/controller/no-requests.ts'
import type { PromotionContext } from '../../../../src/canary/controller/context.ts'
import { startStep } from '../../../../src/canary/state/steps.ts'
import { initialState } from '../../../../src/canary/state/start.ts'
import type { State } from '../../../../src/canary/state/types.ts'
import type { KubeObject, Pod } from '../../../../src/cluster/objects.ts'
import { clusterWith, live, planOf, pod, served } from '../../fixtures.ts'

const of = (name: string, labels: Record<string, string>, spec: Partial<Pod['spec']> = {}) =>
  pod({ metadata: { name, uid: name, labels }, spec })
const [stable, canary, caller] = [
  of('blue-1', { version: 'v1' }),
  of('green-1', { version: 'v2' }),
  of('web-1', { app: 'web' }),
]
const service = (ports: object[] = [{ name: 'http', port: 80 }], more: object = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'backend', namespace: 'shop' },
  ...{ spec: { ports, ...more } },
})
const counted = 'istio_requests_total{reporter="source"} 7\n'

type Case = {
  pods?: Pod[]
  objects?: KubeObject[]
  counters?: string
  ofStable?: number
  ofCallers?: number
  unserved?: number
  kind?: 'weight' | 'ab'
}

function explain({
  pods = [stable, canary, caller],
  objects = [service()],
  counters = counted,
  ofStable = 0,
  ofCallers = 0,
  unserved = 0,
  kind = 'weight',
}: Case): Promise<string | undefined> {
  const plan = planOf()
  const cluster = clusterWith({
    get: (kind: string) => Promise.resolve(objects.find((each) => each.kind === kind)),
    list: (kind: string) => Promise.resolve(objects.filter((each) => each.kind === kind)),
    pod: () => Promise.resolve(counters),
  })
  const split = { namespace: 'shop', service: 'backend', stable: plan.stable, canary: plan.canary }
  const selectors = { stable: { version: 'v1' }, canary: { version: 'v2' } }
  const watched = { pods: [live(() => pods)], workloads: [], routes: [] }
  const begun = initialState(plan, 0, 0)
  const state: State = {
    ...begun,
    phase: 'shifting',
    steps: [{ ...startStep(kind, kind === 'ab' ? 0 : 5, 0, 0), stable: served(ofStable) }],
    users: served(ofCallers),
    unserved: { ...begun.unserved, counts: { requests: unserved, violations: unserved } },
  }
  return explainNoRequests({ cluster, plan, split, selectors, watched } as unknown as PromotionContext, state)
}

const withProxy = (name: string, labels: Record<string, string>, mesh: string) =>
  of(name, labels, {
    initContainers: [
      { name: 'istio-proxy', restartPolicy: 'Always', env: [{ name: 'ISTIO_META_MESH_ID', value: mesh }] },
    ],
  })
const telemetry = (override: object): KubeObject => ({
  apiVersion: 'telemetry.istio.io/v1',
  kind: 'Telemetry',
  metadata: { name: 'quiet', namespace: 'shop' },
  ...{ spec: { metrics: [{ overrides: [override] }] } },
})

test.each<[string, Case, string]>([
  [
    'requests failed before any version saw them',
    { unserved: 12 },
    '12 requests of users failed before they reached any version',
  ],
  ['the Service is gone', { objects: [] }, 'the Service does not exist any more'],
  [
    'the Service is headless',
    { objects: [service(undefined, { clusterIP: 'None' })] },
    'the Service shop/backend is headless',
  ],
  [
    'no port names a protocol',
    { objects: [service([{ name: 'api', port: 8080 }, { port: 9000 }])] },
    'the ports of the Service shop/backend do not name their protocol, so Istio may treat them as TCP, and then sidecars count no requests: 8080 (api), 9000; name the port http-… or grpc-…',
  ],
  [
    'no port names a protocol, and stable serves requests of another Service',
    { objects: [service([{ port: 9000 }])], ofStable: 40 },
    'the ports of the Service shop/backend do not name their protocol',
  ],
  [
    'no port names a protocol, and only the callers count requests',
    { objects: [service([{ port: 9000 }])], ofCallers: 40 },
    'the ports of the Service shop/backend do not name their protocol',
  ],
  [
    'other pods answer',
    {
      ofCallers: 40,
      counters:
        'istio_requests_total{reporter="source",destination_service="backend.shop.svc.cluster.local",destination_version="unknown"} 7\n',
    },
    'the callers counted 40 requests (destination_version unknown), but no sidecar of v1 or v2 counted one: look at the labels',
  ],
  [
    'stable has no sidecar either',
    { pods: [of('blue-1', { version: 'v1' }, { initContainers: [] }), canary, caller], ofCallers: 40 },
    'but no sidecar of v1 or v2 counted one: blue-1 has no sidecar',
  ],
  [
    'the port is TCP',
    { objects: [service([{ name: 'tcp-api', port: 8080 }])] },
    'no port of the Service shop/backend carries HTTP (8080 tcp-api), so the sidecars count no requests',
  ],
  [
    'the canary has no sidecar',
    { pods: [stable, of('green-1', { version: 'v2' }, { initContainers: [] }), caller] },
    'green-1 of v2 has no sidecar, which would count its requests; list its workload under `workloads`',
  ],
  [
    'the counters have another name',
    { counters: 'envoy_istio_requests_total{reporter="source"} 7\n' },
    'no sidecar publishes istio_requests_total, but they publish envoy_istio_requests_total; set `metrics.requests: envoy_istio_requests_total`',
  ],
  [
    'the counters lack a label',
    { counters: 'istio_requests_total{response_code="200"} 7\n' },
    'the counters istio_requests_total lack the label reporter',
  ],
  [
    'a Telemetry switches the counters off',
    { objects: [service(), telemetry({ disabled: true })], counters: '' },
    'the Telemetry shop/quiet switches counters or their tags off',
  ],
  [
    'a Telemetry removes a tag',
    { objects: [service(), telemetry({ tagOverrides: { reporter: { operation: 'REMOVE' } } })], counters: '' },
    'the Telemetry shop/quiet switches counters or their tags off',
  ],
  [
    'no other pod has a sidecar',
    { pods: [stable, canary] },
    'no other pod in shop has a sidecar, and v1 served none either: nobody in the mesh calls it; name the namespaces of the callers in `clients`',
  ],
  ['nobody calls', {}, 'no sidecar of another pod in shop (1) counted a request to backend, and v1 served none either'],
  [
    'the callers are outside the mesh',
    { ofStable: 40 },
    'v1 served 40 requests, but no sidecar of another pod in shop (1) counted a request to backend: only callers with a sidecar follow the weights',
  ],
  [
    'the callers belong to another mesh',
    {
      pods: [stable, withProxy('green-1', { version: 'v2' }, 'east'), withProxy('web-1', { app: 'web' }, 'west')],
      ofCallers: 40,
      ofStable: 40,
    },
    'the sidecars of the callers are of the mesh west, but those of v2 of the mesh east',
  ],
  [
    'the requests of the step are so few that chance may have sent all to stable',
    { ofStable: 40, ofCallers: 40 },
    'the 40 requests of this step all went to v1, which at weight 5 happens by chance in 13% of such steps: too few to tell',
  ],
  [
    'the route has not arrived',
    { ofStable: 140, ofCallers: 140 },
    "all 140 requests went to v1: the callers' sidecars have not received the route, or another route is in front of it (none of its pods runs in istio-system)",
  ],
])('no request reached the canary because %s', async (_, facts, text) => {
  expect(await explain(facts)).toContain(text)
})

test('a step whose requests match a header is not about the weight', async () => {
  expect(await explain({ ofStable: 40, ofCallers: 40, kind: 'ab' })).not.toContain('by chance')
})

test('a difference between some callers and the canary explains nothing', async () => {
  const pods = [
    stable,
    withProxy('green-1', { version: 'v2' }, 'east'),
    withProxy('web-1', { app: 'web' }, 'west'),
    withProxy('web-2', { app: 'web' }, 'east'),
  ]
  expect(await explain({ pods, ofCallers: 40, ofStable: 40 })).not.toContain('of the mesh')
})
