// What would have another meaning in a mesh.yaml, or none, is listed or refused.
import { describe, expect, test } from 'vitest'
import { toMeshYaml } from '../../../../src/engines/convert/convert.ts'

/** `yaml`: without the list. */
function from(text: string) {
  const all = toMeshYaml([{ name: 'in.yaml', text }]).text.split('\n')
  const isListed = (line: string) => line.startsWith('#')
  return { list: all.filter(isListed).join('\n'), yaml: all.filter((line) => !isListed(line)).join('\n') }
}

type RolloutParts = { spec?: string; routing?: string; istio?: string; canary?: string; more?: string }

const named = 'virtualService: { name: backend, routes: [primary] }'
const rollout = (
  steps: string,
  { spec = '', routing = '', istio = named, canary = '', more = '' }: RolloutParts = {},
) =>
  from(`
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: { name: backend, namespace: shop }
spec:
  ${spec}
  strategy:
    canary:
      ${canary}
      trafficRouting: { ${routing} istio: { ${istio}, destinationRule: { name: backend, stableSubsetName: stable, canarySubsetName: canary } } }
      steps: ${steps}
${more}`)
const plain = '[{ setWeight: 20 }, { pause: { duration: 30s } }]'

const canary = (analysis: string, query = '') =>
  from(`
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: { name: web, namespace: shop }
spec:
  provider: istio
  targetRef: { apiVersion: apps/v1, kind: Deployment, name: web }
  service: { port: 80 }
  analysis: ${analysis}
${
  query &&
  `---
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: { name: r, namespace: shop }
spec: { provider: { type: prometheus, address: "http://p.m:9090" }, query: '${query}' }
`
}`)
const asking = (name = 'r') =>
  `{ interval: 1m, stepWeight: 10, threshold: 3, metrics: [{ name: ${name}, templateRef: { name: r }, thresholdRange: { min: 98 }, interval: 1m }] }`

describe('of a Rollout', () => {
  test('a pause of zero seconds is no approval', () => {
    const { yaml, list } = rollout('[{ setWeight: 20 }, { pause: { duration: 0 } }, { setWeight: 50 }]')
    expect(yaml).not.toMatch(/until/)
    expect(list).toMatch(/pause = \{"duration":0\}: a pause of less than a second ends at once/)
  })

  test('weights are a share of maxTrafficWeight', () => {
    const wide = { routing: 'maxTrafficWeight: 1000,' }
    const steps = '[{ setWeight: 100 }, { pause: { duration: 30s } }, { setWeight: 500 }, { pause: { duration: 30s } }]'
    expect(rollout(steps, wide).yaml).toMatch(/steps:\n +- 10\n +- 50\n/)
    expect(() => rollout('[{ setWeight: 15 }]', wide)).toThrow(
      /setWeight: expected a weight that is a whole number of per cent, where `maxTrafficWeight` is 1000, but found 15/,
    )
  })

  test('of several VirtualServices, one without names of routes moves all of its own', () => {
    const istio = 'virtualServices: [{ name: backend, routes: [primary] }, { name: edge }]'
    const { yaml, list } = rollout(plain, { istio })
    expect(yaml).not.toMatch(/routes:/)
    expect(list).toMatch(/routes = \["primary"\]: edge names no routes, .* every route that splits .* moves/)
  })

  test('names of HTTP routes would keep TLS routes from moving', () => {
    const istio = 'virtualService: { name: backend, routes: [primary], tlsRoutes: [{ port: 443 }] }'
    const { yaml, list } = rollout(plain, { istio })
    expect(yaml).not.toMatch(/routes:/)
    expect(list).toMatch(/routes = \["primary"\]: .* no TLS or TCP route would move; so here every route .* moves/)
  })

  test('names of routes are one list for all VirtualServices', () => {
    const istio = 'virtualServices: [{ name: backend, routes: [a, b] }, { name: edge, routes: [a] }]'
    const { yaml, list } = rollout(plain, { istio })
    expect(yaml).toMatch(/routes:\n +- a\n +- b\n/)
    expect(list).toMatch(
      /virtualServices\[1\]\.routes = \["a"\]: a route with one of the names .* in each VirtualService/,
    )
  })

  test('a header route without an end lasts longer there', () => {
    const match = '[{ headerName: x, headerValue: { exact: "1" } }]'
    const { list } = rollout(
      `[{ setHeaderRoute: { name: h, match: ${match} } }, { pause: { duration: 30s } }, { setWeight: 20 }]`,
      { routing: 'managedRoutes: [{ name: h }],' },
    )
    expect(list).toMatch(/setHeaderRoute\.match = .*here `ab` ends before the next stage/)
  })

  test('without progressDeadlineAbort, nothing is rolled back there', () => {
    expect(rollout(plain, { spec: 'progressDeadlineSeconds: 300' }).list).toMatch(
      /progressDeadlineAbort: a canary that makes no progress is rolled back/,
    )
  })

  test('a query that contains one of our variables is left out', () => {
    const more = `---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: { name: t, namespace: shop }
spec: { metrics: [{ name: m, interval: 30s, successCondition: "result[0] >= 1", provider: { prometheus: { address: "http://p.m:9090", query: 'up{job="$canary"}' } } }] }
`
    const { yaml, list } = rollout(plain, { canary: 'analysis: { templates: [{ templateName: t }] }', more })
    expect(yaml).not.toMatch(/queries/)
    expect(list).toMatch(/its query has `\$canary`/)
  })

  test('a VirtualService may be named with its namespace', () => {
    const more = `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: edge, namespace: mesh }
spec: { hosts: [api], http: [] }
`
    const istio = 'virtualService: { name: edge.mesh, routes: [primary] }'
    const text = rollout(plain, { istio, more })
    expect(text.yaml).toMatch(/service: api\n/)
    expect(text.list).toMatch(
      /virtualService\.name = "edge\.mesh": it is in the namespace mesh, and a run moves weights in its own/,
    )
  })

  test('the host of another domain, or namespace, is no Service', () => {
    const more = (host: string) => `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: backend, namespace: shop }
spec: { hosts: [${host}], http: [] }
`
    for (const host of ['example.com', 'api.other.svc.cluster.local'])
      expect(rollout(plain, { more: more(host) }).list).toMatch(/the Service is taken to be backend/)
    expect(rollout(plain, { more: more('api.shop') }).yaml).toMatch(/service: api\n/)
  })

  test('a metric without an interval is asked once there', () => {
    const more = `---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: { name: t, namespace: shop }
spec: { metrics: [{ name: m, successCondition: "result[0] >= 1", provider: { prometheus: { address: "http://p.m:9090", query: up } } }] }
`
    const { list } = rollout(plain, { canary: 'analysis: { templates: [{ templateName: t }] }', more })
    expect(list).toMatch(/metrics\[0\]\.interval: without it, Argo Rollouts asks once/)
  })
})

describe('of a Canary', () => {
  test('of two bounds of one check, the stricter one counts', () => {
    const metric = (name: string, bound: string) => `{ name: request-${name}, thresholdRange: { ${bound} } }`
    const { yaml, list } = canary(
      `{ interval: 1m, stepWeight: 10, threshold: 3, metrics: [${metric('success-rate', 'min: 99.9')}, ${metric('success-rate', 'min: 95')}, ` +
        `${metric('duration', 'max: 500')}, ${metric('duration', 'max: 2000')}] }`,
    )
    expect(yaml).toMatch(/successRate: 99.9%\n +p99: 500ms/)
    expect(list.match(/has one bound, the strictest/g)).toHaveLength(2)
  })

  test('an interval below ten seconds is ten', () => {
    const { yaml, list } = canary('{ interval: 5s, stepWeight: 10, threshold: 3 }')
    expect(yaml).toMatch(/interval: 10s/)
    expect(list).toMatch(/interval = "5s": Flagger looks every 10 s at most/)
  })

  test.each(['{{ target }}-primary', '{{ service }}-canary', 'web-primary', '$canary'])(
    'a query about %s is left out',
    (name) => {
      const { yaml, list } = canary(asking(), `sum(a{w="${name}"})`)
      expect(yaml).not.toMatch(/queries/)
      expect(list).toMatch(/its query has/)
    },
  )

  test('stepWeight rises to the last of stepWeights', () => {
    expect(canary('{ interval: 1m, stepWeight: 10, stepWeights: [5, 20], maxWeight: 50, threshold: 3 }').yaml).toMatch(
      /steps:\n +- 10\n +- 20\n +- 100\n/,
    )
  })

  test('a query with the name of a check of requests is that check, too', () => {
    const { yaml, list } = canary(asking('request-success-rate'), 'sum(a)')
    expect(yaml).toMatch(/successRate: 98%/)
    expect(yaml).toMatch(/request-success-rate:\n +query: sum\(a\)\n +min: 98\n/)
    expect(list).toMatch(/Flagger asks its own metric of this name, so `checks\.successRate` has its bound/)
  })

  test('the name of the Deployment is that of the canary in Flagger only', () => {
    expect(canary(asking(), 'sum(a{destination_workload="web"})').list).toMatch(
      /spec\.query = .*: it names web: in Flagger that Deployment is the canary/,
    )
    expect(canary(asking(), 'sum(a{destination_service_name="web"})').list).not.toMatch(/it names web/)
  })
})
