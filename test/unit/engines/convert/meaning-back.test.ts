// What of a mesh.yaml would have another meaning in the objects of an engine, or none, is listed or refused.
import { expect, test } from 'vitest'
import { load, loadAll } from 'js-yaml'
import { toObjects } from '../../../../src/engines/convert/back.ts'
import { at } from './leaves.ts'

type Engine = 'flagger' | 'argo-rollouts'

function to(engine: Engine, text: string) {
  const all = toObjects({ name: 'mesh.yaml', text: `namespace: shop\n${text}\n` }, engine).text
  return { list: all.replace(/^---[^]*/m, ''), yaml: all.slice(all.indexOf('---')) }
}

const port = '\nservices: { backend: { port: 3001 } }'
const prometheus = 'prometheus: { service: "m/p:9090" }'
const query = (name: string, text = 'up') =>
  `${prometheus}, checks: { queries: { ${name}: { query: '${text}', max: 5 } } }`
const twoServices = 'stable: { service: backend-stable }, canary: { service: backend-canary }'

const objectsOf = (yaml: string) => loadAll(yaml) as { kind: string; metadata: { name: string } }[]
const namesOf = (yaml: string) => objectsOf(yaml).map(({ kind, metadata }) => `${kind} ${metadata.name}`)

test('a canary whose object exists is refused', () => {
  expect(() => to('argo-rollouts', 'canary: { service: backend, engine: argo-rollouts }')).toThrow(
    'mesh.yaml:2: canary.engine: expected `builtin`, but found argo-rollouts, whose object has the steps of this canary already; ' +
      'remove `engine` to get objects for this section',
  )
  const other = 'canary: { service: backend, engine: { type: argo-rollouts, generate: true } }'
  expect(() => to('flagger', other + port)).toThrow(/canary\.engine: expected `builtin`, but found argo-rollouts/)
})

test('a generated canary gets the routes of its two subsets, and the name of its Deployment', () => {
  const engine = 'engine: { type: argo-rollouts, generate: true, workload: api }'
  const { yaml, list } = to('argo-rollouts', `canary: { service: backend, ${engine} }`)
  expect(yaml).toMatch(/host: backend\.shop\.svc\.cluster\.local\n +subset: stable\n +weight: 100\n/)
  expect(yaml).toMatch(/kind: Deployment\n +name: api\n/)
  expect(list).not.toMatch(/the Deployment is taken to be/)
})

test('a query keeps apart from the metrics of requests', () => {
  const text = `canary: { service: backend, ${twoServices}, ${query('request-success-rate')} }${port}`
  for (const engine of ['argo-rollouts', 'flagger'] as const) {
    const { yaml, list } = to(engine, text)
    const names = namesOf(yaml)
    expect(new Set(names).size).toBe(names.length)
    expect(yaml.match(/- name: request-success-rate$/gm)).toHaveLength(1)
    expect(list).toMatch(/request-success-rate\.query = "up": .*: request-success-rate-2\n/)
  }
})

test('the templates of two canaries have two names', () => {
  const canaries = `canaries: [{ service: a, ${query('b-c')} }, { service: a-b, ${query('c')} }]`
  const names = namesOf(to('argo-rollouts', canaries).yaml)
  expect(names.filter((name) => name.startsWith('AnalysisTemplate'))).toEqual([
    'AnalysisTemplate a.b-c',
    'AnalysisTemplate a-b.c',
  ])
})

test('Flagger writes the Service, so it needs the port', () => {
  expect(() => to('flagger', 'canary: { service: backend }')).toThrow(
    'mesh.yaml:1: services.backend.port: is missing; Flagger writes the Service backend anew, with the port that its Canary names: ' +
      'set it to the port that callers use',
  )
  expect(to('flagger', `canary: { service: backend }${port}`).list).toMatch(
    /services\.backend\.port: Flagger writes the Service backend anew, .*set `targetPort`/,
  )
})

test.each([
  ['argo-rollouts', 'workloadRef.name'],
  ['flagger', 'targetRef.name'],
] as const)('%s: the name of the Deployment is said to be a guess', (engine, field) => {
  expect(to(engine, `canary: { service: backend }${port}`).list).toContain(
    `canary.service: the Deployment is taken to be named backend; if not, correct \`${field}\``,
  )
})

test('checks that nobody wrote are listed where they are lost', () => {
  const { list } = to('argo-rollouts', 'canaries: [{ service: backend }]')
  expect(list).toMatch(/canaries\[0\]\.checks\.successRate = "99%": only queries become metrics/)
  for (const key of ['noWorseThanStable', 'falseRollback', 'falsePromotion', 'minRequests'])
    expect(list).toContain(`canaries[0].checks.${key}`)
  expect(to('flagger', `canary: { service: backend }${port}`).list).not.toMatch(/checks\.successRate/)
  const off = 'checks: { noWorseThanStable: false }'
  expect(to('flagger', `canary: { service: backend, ${off} }${port}`).list).toMatch(
    /Not in the result:\n# - .*noWorseThanStable = false: off, as without it/,
  )
})

test('steps that nobody wrote are listed where they are lost', () => {
  const ab = 'ab: { match: { headers: { x: { exact: "1" } } } }'
  expect(to('flagger', `canary: { service: backend, ${ab} }${port}`).list).toMatch(
    /canary\.steps = \[5,25,50,100\]: after an A\/B test, Flagger promotes the canary at once/,
  )
})

test('weights of `traffic` are those of the controller', () => {
  const subsets = 'subsets: { v1: { version: v1 }, v2: { version: v2 } }'
  const services = `services: { backend: { port: 3001, ${subsets}, traffic: { v1: 80, v2: 20 } } }`
  const { yaml, list } = to('argo-rollouts', `canary: { service: backend }\n${services}`)
  expect(yaml.match(/ weight: \d+$/gm)!.map((each) => each.trim())).toEqual([
    'weight: 100',
    'weight: 0',
    'weight: 100',
    'weight: 0',
  ])
  expect(list).toMatch(/traffic = .*: the controller sets the weights/)
})

test('the two Services of a canary have to exist', () => {
  expect(to('argo-rollouts', `canary: { service: backend, ${twoServices} }`).list).toMatch(
    /canary\.canary: the Services backend-stable and backend-canary have to exist/,
  )
})

test('routes of your own are in a VirtualService whose name is a guess', () => {
  expect(to('argo-rollouts', 'canary: { service: backend, routes: [primary] }').list).toMatch(
    /canary\.routes: your own VirtualService, and DestinationRule, are taken to be named backend/,
  )
})

test('an interval that the engine cannot have is rounded, and listed', () => {
  const flagger = to('flagger', `canary: { service: backend, interval: 5s }${port}`)
  expect(at(load(flagger.yaml), ['spec', 'analysis', 'interval'])).toBe('10s')
  expect(flagger.list).toMatch(/canary\.interval = "5s": Flagger looks every 10 s at most/)
  const argo = to(
    'argo-rollouts',
    'canary: { service: backend, interval: 1500ms, mirror: { percent: 10%, interval: 2500ms } }',
  )
  expect(argo.yaml.match(/duration: .*/g)).toEqual(['duration: 3s', ...Array<string>(4).fill('duration: 2s')])
  expect(argo.list).toMatch(/canary\.interval = "1500ms": a pause of a Rollout lasts whole seconds: 2s/)
  expect(argo.list).toMatch(/canary\.mirror\.interval = "2500ms": .*: 3s/)
})

test('copies last a whole number of intervals of Flagger', () => {
  const copies = (interval: string) =>
    to(
      'flagger',
      `canary: { service: backend, steps: [100], interval: 30s, mirror: { percent: 10%, interval: ${interval} } }${port}`,
    )
  expect(copies('75s').list).toMatch(/mirror\.interval = "75s": Flagger copies requests for whole intervals: 1m30s/)
  expect(copies('60s').list).not.toMatch(/mirror\.interval/)
})

test("the canary's Service of a query is the one that Flagger makes, and its Deployment is the target", () => {
  const text = 'sum(a{destination_service_name="$service-canary", w="$service-canary"})'
  const { yaml } = to('flagger', `canary: { service: backend, ${query('q', text)} }${port}`)
  expect(at(loadAll(yaml)[1], ['spec', 'query'])).toBe(
    'sum(a{destination_service_name="{{ service }}-canary", w="{{ target }}"})',
  )
})
