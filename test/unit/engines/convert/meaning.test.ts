// What would have another meaning on the other side, or none, is listed or refused.
import { describe, expect, test } from 'vitest'
import { toObjects } from '../../../../src/engines/convert/back.ts'
import { toMeshYaml } from '../../../../src/engines/convert/convert.ts'

/** `yaml`: without the list. */
function from(text: string) {
  const all = toMeshYaml([{ name: 'in.yaml', text }]).text.split('\n')
  const isListed = (line: string) => line.startsWith('#')
  return { list: all.filter(isListed).join('\n'), yaml: all.filter((line) => !isListed(line)).join('\n') }
}

function to(engine: 'flagger' | 'argo-rollouts', text: string) {
  const all = toObjects({ name: 'mesh.yaml', text: `namespace: shop\n${text}` }, engine).text
  return { list: all.replace(/^---[^]*/m, ''), yaml: all.slice(all.indexOf('---')) }
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
    expect(list).toMatch(/pause .*goes on at once/)
  })

  test('weights are a share of maxTrafficWeight', () => {
    const wide = { routing: 'maxTrafficWeight: 1000,' }
    const steps = '[{ setWeight: 100 }, { pause: { duration: 30s } }, { setWeight: 500 }, { pause: { duration: 30s } }]'
    expect(rollout(steps, wide).yaml).toMatch(/steps:\n +- 10\n +- 50\n/)
    expect(() => rollout('[{ setWeight: 15 }]', wide)).toThrow(/setWeight: expected whole per cent of maxTrafficWeight/)
  })

  test('of several VirtualServices, one without names of routes moves all of its own', () => {
    const istio = 'virtualServices: [{ name: backend, routes: [primary] }, { name: edge }]'
    const { yaml, list } = rollout(plain, { istio })
    expect(yaml).not.toMatch(/routes:/)
    expect(list).toMatch(/routes = \["primary"\]: another VirtualService names no routes/)
  })

  test('TLS routes do not move beside names of HTTP routes', () => {
    const istio = 'virtualService: { name: backend, routes: [primary], tlsRoutes: [{ port: 443 }] }'
    expect(rollout(plain, { istio }).list).toMatch(/tlsRoutes .*only the HTTP routes of these names move/)
  })

  test('a header route without an end lasts longer there', () => {
    const match = '[{ headerName: x, headerValue: { exact: "1" } }]'
    const { list } = rollout(
      `[{ setHeaderRoute: { name: h, match: ${match} } }, { pause: { duration: 30s } }, { setWeight: 20 }]`,
      { routing: 'managedRoutes: [{ name: h }],' },
    )
    expect(list).toMatch(/setHeaderRoute: `ab` ends before the next stage/)
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
    expect(list.match(/another metric of this name is stricter/g)).toHaveLength(2)
  })

  test('an interval below ten seconds is ten', () => {
    const { yaml, list } = canary('{ interval: 5s, stepWeight: 10, threshold: 3 }')
    expect(yaml).toMatch(/interval: 10s/)
    expect(list).toMatch(/interval = "5s": Flagger takes no less than 10s/)
  })

  test.each(['{{ target }}-primary', '{{ service }}-canary', '$canary'])('a query about %s is left out', (name) => {
    const { yaml, list } = canary(asking(), `sum(a{w="${name}"})`)
    expect(yaml).not.toMatch(/queries/)
    expect(list).toMatch(/its query has/)
  })

  test('stepWeight rises to the last of stepWeights', () => {
    expect(canary('{ interval: 1m, stepWeight: 10, stepWeights: [5, 20], maxWeight: 50, threshold: 3 }').yaml).toMatch(
      /by: 10\n +to: 20/,
    )
  })

  test('a query with the name of a check of requests is that check, too', () => {
    expect(canary(asking('request-success-rate'), 'sum(a)').list).toMatch(
      /Flagger also runs its own check of this name/,
    )
  })
})

describe('of a mesh.yaml', () => {
  const port = 'services: { backend: { port: 3001 } }\n'
  const query = (name: string) =>
    `stable: { service: backend-stable }, canary: { service: backend-canary }, prometheus: { service: "m/p:9090" }, checks: { queries: { ${name}: { query: up, max: 5 } } }`

  test('a canary whose object exists is refused, unless the object is generated', () => {
    expect(() => to('argo-rollouts', 'canary: { service: backend, engine: argo-rollouts }')).toThrow(
      /mesh\.yaml: canary\.engine: argo-rollouts has an object with the steps of this canary already/,
    )
    const generated = to(
      'argo-rollouts',
      'canary: { service: backend, engine: { type: argo-rollouts, generate: true } }',
    )
    expect(generated.yaml).toMatch(/subset: stable\n/)
  })

  test('a query keeps apart from the checks of requests, and from that of another canary', () => {
    const named = `canary: { service: backend, ${query('request-success-rate')} }\n${port}`
    const names = [...to('argo-rollouts', named).yaml.matchAll(/kind: AnalysisTemplate\nmetadata:\n  name: (.*)/g)]
    expect(new Set(names.map(([, name]) => name)).size).toBe(2)
    expect(to('flagger', named).yaml.match(/- name: request-success-rate\n/g)).toHaveLength(1)
    const prometheus = 'prometheus: { service: "m/p:9090" }'
    const of = (service: string, name: string) =>
      `{ service: ${service}, ${prometheus}, checks: { queries: { ${name}: { query: up, min: 1 } } } }`
    expect(() => to('argo-rollouts', `canaries: [${of('a', 'b-c')}, ${of('a-b', 'c')}]`)).toThrow(
      /two objects would have the name AnalysisTemplate shop\/a-b-c/,
    )
  })

  test('Flagger writes the Service, so it needs the port', () => {
    expect(() => to('flagger', 'canary: { service: backend }')).toThrow(/services\.backend\.port: is missing/)
    expect(to('flagger', `canary: { service: backend }\n${port}`).list).toMatch(
      /services\.backend\.port = 3001: .*`targetPort`/,
    )
  })

  test('checks and steps that nobody wrote are listed where they are lost', () => {
    expect(to('argo-rollouts', 'canary: { service: backend }').list).toMatch(
      /canary\.checks\.successRate = [^]*canary\.checks\.noWorseThanStable = /,
    )
    const ab = 'ab: { match: { headers: { x: { exact: "1" } } } }'
    expect(to('flagger', `canary: { service: backend, ${ab} }\n${port}`).list).toMatch(
      /canary\.steps = \[5,25,50,100\]/,
    )
  })

  test('weights of `traffic` are those of the controller', () => {
    const subsets = 'subsets: { v1: { version: v1 }, v2: { version: v2 } }'
    const services = `services: { backend: { port: 3001, ${subsets}, traffic: { v1: 80, v2: 20 } } }`
    expect(to('argo-rollouts', `canary: { service: backend }\n${services}\n`).yaml).not.toMatch(/weight: 20\n/)
  })
})
