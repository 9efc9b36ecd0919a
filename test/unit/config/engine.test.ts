import { describe, expect, test } from 'vitest'
import { canariesOf, followedCanariesOf } from '../../../src/config/names.ts'
import { stagesOf } from '../../../src/config/stages.ts'
import { configOf, planOf, refusal } from '../fixtures.ts'

test('this program moves the traffic unless the config names a controller', () => {
  expect(planOf().engine).toEqual({ type: 'builtin', generate: false, resume: false })
  expect(planOf('engine: flagger').engine).toEqual({ type: 'flagger', generate: false, resume: false })
  expect(planOf('engine: { type: argo-rollouts, name: shop, resume: true }').engine).toEqual({
    type: 'argo-rollouts',
    name: 'shop',
    generate: false,
    resume: true,
  })
})

test('a followed canary needs no policies, and none of its own', () => {
  const config = configOf('canary: { service: backend, engine: flagger }')
  expect(stagesOf(config)).toEqual(['promote'])
  expect(canariesOf(config)).toEqual([])
  expect(followedCanariesOf(config).map(({ service }) => service)).toEqual(['backend'])
})

describe('what an engine ignores is refused by name', () => {
  test('the time of a run, because the engine moves the traffic on without it', () => {
    expect(refusal('{ canary: { service: backend, engine: flagger }, runFor: 5h }')).toMatch(
      /runFor: has no effect with `engine: flagger`: Flagger writes the weights and continues by itself/,
    )
  })

  test.each([
    ['argo-rollouts', 'steps: [50, 100]', /mesh\.yaml:1: canary\.steps: .*Rollout \(`spec\.strategy\.canary`\)/],
    ['flagger', 'interval: 1m', /canary\.interval: has no effect with `engine: flagger`: write it in the Canary/],
    ['flagger', 'guard: off', /canary\.guard: .*Flagger writes the weights/],
    ['argo-rollouts', 'stable: v1', /canary\.stable: .*Argo Rollouts knows its versions/],
    [
      'argo-rollouts',
      'onInconclusive: hold',
      /canary\.onInconclusive: .*ends `inconclusive`, unless you write `promote`/,
    ],
    ['argo-rollouts', 'onFail: hold', /canary\.onFail: .*always aborted/],
    ['argo-rollouts', 'after: adopt', /canary\.after: .*does not use it/],
    ['argo-rollouts', 'image: "shop:2", images: { app: "shop:2" }', /canary\.images: `image` says/],
  ])('%s with %s', (engine, keys, expected) => {
    expect(refusal(`canary: { service: backend, engine: ${engine}, ${keys} }`)).toMatch(expected)
  })

  test('also if an input sets it', () => {
    expect(refusal('canary: { service: backend, engine: flagger }', { steps: '50' })).toMatch(
      /canary\.steps: has no effect/,
    )
  })

  test('in each of several canaries', () => {
    expect(refusal('canaries: [{ service: a, engine: flagger }, { service: b, engine: flagger, until: 5 }]')).toMatch(
      /canaries\.1\.until/,
    )
  })
})

test.each([
  [
    'canary: { service: b, engine: flagger, checks: { queries: { errors: { query: "vector(1)", max: 0 } } } }',
    /canary\.checks\.queries: .*needs Prometheus/,
  ],
  [
    'canary: { service: b, engine: flagger, prometheus: { address: "http://p:9090" }, checks: { queries: { x: { query: up, max: 0 } }, commands: { x: { run: ["true"] } } } }',
    /has the same name/,
  ],
  ['canary: { service: b, engine: flagger, pollInterval: 1ms }', /canary\.pollInterval: .*too short/],
  [
    'services: { b: { port: 80, timeout: 3s } }\ncanary: { service: b, engine: argo-rollouts }',
    /canary\.engine: .*`services\.b` \(timeout\).*written over the routes/,
  ],
  [
    'expose: { b: { port: 80, hosts: ["b.example"] } }\ncanary: { service: b, engine: argo-rollouts }',
    /`expose\.b`.*written over the routes/,
  ],
  ['canary: { service: b, engine: { type: flagger, workload: web } }', /canary\.engine\.workload: is for `generate`/],
  [
    'canary: { service: b, engine: { type: flagger, generate: true }, until: 5 }',
    /canary\.until: .*the generated Canary does not express it/,
  ],
  [
    'canary: { service: b, engine: { type: argo-rollouts, generate: true }, stable: { service: a }, canary: { service: c } }',
    /canary\.stable: the generated Rollout moves the traffic between two subsets/,
  ],
  [
    'canary: { service: b, engine: spinnaker }',
    /canary\.engine: "spinnaker" is invalid: expected one of builtin, argo-rollouts, flagger/,
  ],
  [
    'canary: { service: b, engine: { type: builtin, name: x } }',
    /canary\.engine\.name: is for argo-rollouts and flagger/,
  ],
  [
    'canary: { service: b, engine: { type: flagger, resume: true } }',
    /canary\.engine\.resume: Flagger asks its own webhooks/,
  ],
  ['canary: { service: b, engine: { type: flagger, pause: 3 } }', /canary\.engine\.pause/],
  [
    'canaries: [{ service: a }, { service: b, engine: flagger }]',
    /canaries\.1\.engine: flagger is another engine than that of a \(builtin\)/,
  ],
])('%s is refused', (config, expected) => {
  expect(refusal(config)).toMatch(expected)
})
