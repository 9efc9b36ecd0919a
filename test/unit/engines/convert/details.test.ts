import { describe, expect, test } from 'vitest'
import { load } from 'js-yaml'
import { boundsAgainst, boundsOf, conditionOf } from '../../../../src/engines/convert/argo/conditions.ts'
import { toObjects } from '../../../../src/engines/convert/back.ts'
import { toMeshYaml } from '../../../../src/engines/convert/convert.ts'
import { queryFromFlagger } from '../../../../src/engines/convert/flagger/query.ts'
import { lineOf } from '../../../../src/engines/convert/list.ts'
import { durationText, prometheusPlace } from '../../../../src/engines/convert/values.ts'
import { at } from './leaves.ts'

type Section = Record<string, unknown>

const canary = (spec: Section, analysis: Section = { interval: '30s', stepWeight: 10 }) => ({
  apiVersion: 'flagger.app/v1beta1',
  kind: 'Canary',
  metadata: { name: 'web', namespace: 'shop' },
  spec: {
    provider: 'istio',
    targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
    service: { port: 80 },
    analysis,
    ...spec,
  },
})
const rollout = (canary: Section) => ({
  apiVersion: 'argoproj.io/v1alpha1',
  kind: 'Rollout',
  metadata: { name: 'web', namespace: 'shop' },
  spec: { strategy: { canary } },
})
const services = { stableService: 'web', canaryService: 'web-canary' }

/** JSON is YAML. */
function convert(...objects: unknown[]): { config: Section; lines: string[] } {
  const text = objects.map((object) => `---\n${JSON.stringify(object)}\n`).join('')
  const { text: yaml, entries } = toMeshYaml([{ name: 'a.yaml', text }])
  return { config: load(yaml) as Section, lines: entries.map(lineOf) }
}

const line = (lines: string[], field: string) => lines.filter((each) => each.includes(field))

describe('the weights of Flagger', () => {
  const steps = (analysis: Section) =>
    at(convert(canary({}, { interval: '30s', ...analysis })).config, ['canary', 'steps'])

  test.each([
    [
      { stepWeight: 10, maxWeight: 50 },
      { by: 10, to: 50 },
    ],
    [{ stepWeight: 20, maxWeight: 50 }, [20, 40, 60, 100]],
    [{ stepWeight: 40 }, { by: 40 }],
    [{ stepWeight: 60, maxWeight: 70 }, [60, 100]],
    [{ stepWeight: 25 }, { by: 25 }],
    [{ stepWeights: [1, 5, 25] }, [1, 5, 25, 100]],
    [{ stepWeights: [30, 100] }, [30, 100]],
    [{ iterations: 3 }, [100]],
    [{}, undefined],
  ])('%j become %j', (analysis, expected) => {
    expect(steps(analysis)).toEqual(expected)
  })
})

test('what Flagger ignores has no effect here either', () => {
  const { config, lines } = convert(canary({}, { interval: '30s', iterations: 2, stepWeight: 10, mirrorWeight: 30 }))
  expect(config['canary']).not.toHaveProperty('mirror')
  expect(line(lines, 'stepWeight')).toEqual([
    'a.yaml:2: Canary web: spec.analysis.stepWeight = 10: with `iterations`, Flagger ignores it',
  ])
  expect(line(lines, 'mirrorWeight')).toEqual([
    'a.yaml:2: Canary web: spec.analysis.mirrorWeight = 30: without `mirror`, it has no effect',
  ])
})

test('a match without iterations is not turned into an A/B stage', () => {
  const match = [{ headers: { 'x-beta': { exact: '1' } } }]
  const { config, lines } = convert(canary({}, { interval: '30s', stepWeight: 10, match }))
  expect(config['canary']).not.toHaveProperty('ab')
  expect(line(lines, 'spec.analysis.match')).toHaveLength(1)
})

test('a match that no condition narrows is left out as a whole', () => {
  const match = [{ headers: { 'x-beta': { exact: '1' } }, sourceLabels: { app: 'robot' } }]
  const { config, lines } = convert(canary({}, { interval: '30s', iterations: 5, match }))
  expect(config['canary']).not.toHaveProperty('ab')
  expect(line(lines, 'spec.analysis.match[0]')[0]).toContain('it would match more requests')
})

describe('fields that do not exist', () => {
  test('are listed with the nearest name', () => {
    const { lines } = convert(canary({ sevrice: { port: 80 } }))
    expect(line(lines, 'sevrice')).toEqual([
      'a.yaml:2: Canary web: spec.sevrice = {"port":80}: there is no such field in Flagger v1.36.1; did you mean `service`?; the API server drops it',
    ])
  })

  test('are not read, because the API server drops them', () => {
    const pool = { connectionPool: { tcp: { maxConnections: 5 } } }
    const { config } = convert(canary({ service: { port: 80, trafficPolicy: pool } }))
    expect(config['services']).toEqual({ web: { port: 80 } })
  })

  test('are listed below a field without a counterpart, too', () => {
    const { lines } = convert(
      canary({ autoscalerRef: { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', name: 'web', min: 2 } }),
    )
    expect(line(lines, 'spec.autoscalerRef.min')).toHaveLength(1)
  })
})

describe('retries', () => {
  const retries = (service: Section) =>
    at(convert(canary({ service: { port: 80, ...service } })).config, ['services', 'web', 'retries'])

  test('without conditions they keep those of Istio', () => {
    expect(retries({ retries: { attempts: 2 } })).toEqual({
      attempts: 2,
      retryOn: ['connect-failure', 'refused-stream', 'unavailable', 'cancelled'],
    })
  })

  test('tries that the timeout ends are left out, so that the config has no warning', () => {
    expect(retries({ timeout: '5s', retries: { attempts: 5, perTryTimeout: '2s', retryOn: 'reset' } })).toMatchObject({
      attempts: 1,
    })
    expect(retries({ timeout: '2s', retries: { attempts: 5, perTryTimeout: '2s' } })).toEqual({ attempts: 0 })
    expect(retries({ timeout: '2s', retries: { attempts: 5, perTryTimeout: '3s', retryOn: 'reset' } })).toEqual({
      attempts: 5,
      retryOn: ['reset'],
    })
  })
})

test('ejection without a share keeps that of Istio, and a share of 0 ejects nothing', () => {
  const breaker = (outlierDetection: Section) => {
    const { config, lines } = convert(canary({ service: { port: 80, trafficPolicy: { outlierDetection } } }))
    return { breaker: at(config, ['services', 'web', 'circuitBreaker']), lines: line(lines, 'outlierDetection') }
  }
  expect(breaker({ consecutive5xxErrors: 3 }).breaker).toEqual({ consecutive5xxErrors: 3, maxEjectionPercent: 10 })
  const none = breaker({ consecutive5xxErrors: 3, maxEjectionPercent: 0 })
  expect(none.breaker).toBeUndefined()
  expect(none.lines).toHaveLength(1)
})

test('a success rate that no number of requests can show is not turned into another', () => {
  const metrics = [{ name: 'request-success-rate', thresholdRange: { min: 100 } }]
  const { config, lines } = convert(canary({}, { interval: '30s', stepWeight: 10, metrics }))
  expect(config['canary']).not.toHaveProperty('checks')
  expect(line(lines, 'thresholdRange.min = 100')[0]).toContain('no number of requests can show it')
})

describe('the templates of a query', () => {
  const values = {
    name: 'web-canary',
    namespace: 'shop',
    target: 'web',
    service: 'shop-web',
    interval: '1m',
    stepInterval: '30s',
    ingress: 'web',
    route: 'web',
    variables: { code: '5..' },
  }

  test('become variables, values, and the name of the canary that a run makes', () => {
    const query = '{{ namespace }} {{- service -}} {{target}} {{ interval }} {{ variables.code }} {{ name }}'
    expect(queryFromFlagger(query, values)).toEqual({ query: '$namespace $service $service-canary 1m 5.. web-canary' })
    expect(queryFromFlagger('{{ interval }}', { ...values, interval: '30s' })).toEqual({ query: '$interval' })
  })

  test('that nothing fills in are named', () => {
    expect(queryFromFlagger('up{a="{{ variables.x }}"}', values)).toEqual({
      why: '`{{ variables.x }}`, which has no counterpart',
    })
    expect(queryFromFlagger('up{a="{{ if true }}"}', values)).toEqual({
      why: '`{{ if true }}`, which has no counterpart',
    })
  })
})

describe('conditions of Argo Rollouts', () => {
  test.each([
    ['result[0] >= 0.95', { min: 0.95 }, true],
    ['result <= 10', { max: 10 }, true],
    ['result[0] < 100', { max: 100 }, false],
    ['0.9 <= result[0]', { min: 0.9 }, true],
    ['asFloat(result[0]) > -1e3', { min: -1000 }, false],
    ['result[0] >= 1 && result[0] <= 2', { min: 1, max: 2 }, true],
    ['isNaN(result[0]) || result[0] >= 0.9', { min: 0.9 }, false],
    ['len(result) == 0 || (result[0] <= 3)', { max: 3 }, false],
    ['len(result) == 0 || isNaN(result[0]) || result[0] <= 3', { max: 3 }, false],
  ])('%s has bounds', (text, bounds, isExact) => {
    expect(boundsOf(text)).toEqual({ bounds, isExact })
  })

  test.each([
    'result[0] >= 1 || result[0] <= 0',
    'result[1] >= 1',
    'result[0] == 1',
    'result[0] >= 1 && result[0] >= 2',
    'all(result, {# > 1})',
    'result[0] >= result[1]',
    'true',
    '',
  ])('%s has none', (text) => {
    expect(boundsOf(text)).toBeUndefined()
  })

  test('a failure is the opposite of a success', () => {
    expect(boundsAgainst('result[0] > 5')).toEqual({ bounds: { max: 5 }, isExact: true })
    expect(boundsAgainst('result[0] <= 0.9')).toEqual({ bounds: { min: 0.9 }, isExact: false })
    expect(boundsAgainst('result[0] > 5 && result[0] < 7')).toBeUndefined()
  })

  test('bounds become a condition', () => {
    expect(conditionOf({ min: 1, max: 2 })).toBe('result[0] >= 1 && result[0] <= 2')
  })
})

describe('an argument of the analysis', () => {
  const convertWith = (arg: Section) => {
    const prometheus = { address: 'http://p:9090', query: 'sum(errors{hash="{{args.hash}}"})' }
    const template = {
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'AnalysisTemplate',
      metadata: { name: 'errors', namespace: 'shop' },
      spec: {
        args: [{ name: 'hash', value: 'none' }],
        metrics: [{ name: 'errors', interval: '1m', successCondition: 'result[0] <= 1', provider: { prometheus } }],
      },
    }
    const analysis = { templates: [{ templateName: 'errors' }], args: [{ name: 'hash', ...arg }] }
    const { config, lines } = convert(rollout({ ...services, analysis }), template)
    return { query: at(config, ['canary', 'checks', 'queries', 'errors', 'query']), lines }
  }

  test.each<Section>([
    { valueFrom: { podTemplateHashValue: 'Latest' } },
    { valueFrom: { fieldRef: { fieldPath: 'status.x' } } },
    { value: 'a $canary' },
  ])('that the Rollout gives is not replaced by the default: %j', (arg) => {
    const { query, lines } = convertWith(arg)
    expect(query).toBeUndefined()
    expect(lines.join('\n')).toContain('its query has `{{args.hash}}`, whose value')
  })

  test('that the Rollout only names has the default of the template', () => {
    expect(convertWith({}).query).toBe('sum(errors{hash="none"})')
    expect(convertWith({ value: 'some' }).query).toBe('sum(errors{hash="some"})')
  })
})

describe('the steps of a Rollout', () => {
  const plan = (steps: Section[]) => at(convert(rollout({ ...services, steps })).config, ['canary']) as Section
  const wait = (duration: string | number) => ({ pause: { duration } })

  test('last as long as most of them, and of several times the longest', () => {
    expect(
      plan([{ setWeight: 5 }, wait('1m'), { setWeight: 10 }, wait('5m'), { setWeight: 20 }, wait('1m')])['interval'],
    ).toBe('1m')
    expect(plan([{ setWeight: 5 }, wait('1m'), { setWeight: 10 }, wait('5m')])['interval']).toBe('5m')
    expect(plan([{ setWeight: 5 }, wait(90)])['interval']).toBe('1m30s')
  })

  test('wait for the first approval only', () => {
    const steps = [{ pause: {} }, { setWeight: 5 }, wait('1m'), { pause: {} }, { setWeight: 50 }, { pause: {} }]
    expect(plan(steps)).toMatchObject({ until: 5, steps: [5, 50, 100] })
  })

  test('without weights there is one step', () => {
    expect(plan([])).toMatchObject({ steps: [100] })
  })

  test('a header route between two Services is listed, because `ab` needs subsets', () => {
    const match = [{ headerName: 'x-beta', headerValue: { exact: '1' } }]
    const { config, lines } = convert(rollout({ ...services, steps: [{ setHeaderRoute: { name: 'beta', match } }] }))
    expect(config['canary']).not.toHaveProperty('ab')
    expect(line(lines, 'setHeaderRoute')[0]).toContain('needs subsets')
  })
})

describe('the list', () => {
  test('shows no secret, and stays on its line', () => {
    const provider = {
      apiVersion: 'flagger.app/v1beta1',
      kind: 'AlertProvider',
      metadata: { name: 'a\nkind: Secret' },
      spec: { type: 'slack', address: 'https://hooks.example.com/services/secret1' },
    }
    const webhooks = [
      {
        name: 'gate',
        type: 'confirm-traffic-increase',
        url: 'https://user:pass1@gate.example.com/secret2?token=secret3',
      },
    ]
    const text = [provider, canary({}, { interval: '30s', stepWeight: 10, webhooks })]
      .map((each) => `---\n${JSON.stringify(each)}\n`)
      .join('')
    const comments = toMeshYaml([{ name: 'a.yaml', text }]).text.split('\n\n')[0]!
    expect(comments).toContain('https://gate.example.com/…')
    expect(comments).not.toMatch(/secret[123]|pass1/)
    expect(comments.split('\n').every((each) => each.startsWith('#'))).toBe(true)
  })
})

describe('the way back', () => {
  const back = (canary: string, engine: 'flagger' | 'argo-rollouts', rest = 'services: { web: { port: 80 } }\n') =>
    toObjects({ name: 'mesh.yaml', text: `namespace: shop\ncanary: { service: web, ${canary} }\n${rest}` }, engine)
  /** Of what the file says. */
  const lines = ({ entries }: ReturnType<typeof back>) =>
    entries.filter(({ about }) => about === 'left' || about === 'differs').map(lineOf)
  const spec = ({ objects }: ReturnType<typeof back>) => at(objects[0], ['spec'])

  test('lists each key that the engine does not have, once', () => {
    const result = back(
      'guard: off, onCancel: hold, checks: { falseRollback: 2%, minRequests: 50 }, warmup: 10',
      'flagger',
      'services: { web: { port: 80 } }\nmtls: strict\n',
    )
    expect(lines(result)).toEqual([
      'mesh.yaml:2: canary.guard = "off": the controller runs in the cluster, so no run can get lost',
      'mesh.yaml:2: canary.onCancel = "hold": the controller runs in the cluster, so no run can get lost',
      'mesh.yaml:2: canary.checks.falseRollback = "2%": its analysis compares a number with bounds, and knows no error rates',
      'mesh.yaml:2: canary.checks.minRequests = 50: its analysis compares a number with bounds, and knows no error rates',
      'mesh.yaml:2: canary.warmup = 10: latency counts from the first request on',
      'mesh.yaml:4: mtls = "strict": it stays in mesh.yaml, for mesh-canary',
    ])
  })

  test('a query with a variable that the engine does not know is left out, and listed', () => {
    const queries =
      'prometheus: { service: istio-system/prometheus:9090 }, checks: { queries: { q: { query: "up{v=\\"$canary\\"}", max: 1 } } }'
    const result = back(queries, 'flagger')
    expect(result.objects.map(({ kind }) => kind)).toEqual(['Canary'])
    expect(lines(result)[0]).toContain('Flagger does not fill in `$canary`')
  })

  test('a canary by subsets gets the routes and subsets that the Rollout moves', () => {
    const { objects } = back(
      'steps: [10]',
      'argo-rollouts',
      'services: { web: { port: 80, subsets: { v1: { app: a }, v2: { app: b }, v0: { app: c } } } }',
    )
    expect(objects.map(({ kind }) => kind)).toEqual(['Rollout', 'VirtualService', 'DestinationRule'])
    expect(at(objects[2], ['spec', 'subsets'])).toEqual([
      { name: 'v1' },
      { name: 'v2' },
      { name: 'v0', labels: { app: 'c' } },
    ])
    expect(
      at(objects[0], ['spec', 'strategy', 'canary', 'trafficRouting', 'istio', 'virtualService', 'routes']),
    ).toEqual(['mesh-canary', 'mesh-canary-other-ports'])
  })

  test('a canary with a Service of its own gets the checks of requests as metrics', () => {
    const { objects } = back(
      'stable: { service: web }, canary: { service: web-next }, prometheus: { address: "http://p:9090" }, checks: { p99: 300ms }',
      'argo-rollouts',
    )
    const metrics = objects
      .filter(({ kind }) => kind === 'AnalysisTemplate')
      .map((each) => at(each, ['spec', 'metrics', 0]) as Section)
    expect(metrics.map(({ successCondition }) => successCondition)).toEqual([
      'len(result) == 0 || isNaN(result[0]) || result[0] >= 0.99',
      'len(result) == 0 || isNaN(result[0]) || result[0] <= 300',
    ])
    expect(JSON.stringify(metrics[0])).toMatch(/"query":"\(sum\(.* or vector\(0\)\) \/ sum\(/)
    expect(JSON.stringify(metrics)).toContain('destination_service_name=\\"web-next\\"')
  })

  test('a query without a result ends a Rollout, which the list says', () => {
    const queries = 'prometheus: { address: "http://p:9090" }, checks: { queries: { q: { query: "up", max: 1 } } }'
    expect(lines(back(queries, 'argo-rollouts')).join('\n')).toContain(
      'canary.checks.queries.q.query = "up": without a result, Argo Rollouts aborts after five measurements',
    )
    expect(lines(back(queries, 'flagger')).join('\n')).not.toContain('queries.q.query')
  })

  test('a promotion that ends below 100 does not end there', () => {
    expect(lines(back('steps: [10, 50]', 'flagger'))[0]).toContain('it goes on to 100')
    const rollout = back('steps: [10, 50]', 'argo-rollouts')
    expect(at(spec(rollout), ['strategy', 'canary', 'steps', 4])).toEqual({ pause: {} })
  })

  test('Flagger has no conditions on paths, so an A/B stage with one is listed as a whole', () => {
    const result = back('image: current, ab: { match: { headers: { a: b }, path: /x } }, steps: [100]', 'flagger')
    expect(at(result.objects[0], ['spec', 'analysis', 'match'])).toBeUndefined()
    expect(lines(result)[0]).toContain('conditions on headers and query parameters only')
  })
})

test.each([
  [1500, '1500ms'],
  [90_000, '1m30s'],
  [3_600_000, '1h'],
  [7_261_000, '2h1m1s'],
])('%i ms are %s', (ms, text) => {
  expect(durationText(ms)).toBe(text)
})

test.each([
  ['http://prometheus.monitoring:9090', { service: 'monitoring/prometheus:9090' }],
  ['http://prometheus.monitoring.svc.cluster.local:9090/', { service: 'monitoring/prometheus:9090' }],
  ['http://prometheus.monitoring', { service: 'monitoring/prometheus:80' }],
  ['https://prometheus.monitoring:9090', { address: 'https://prometheus.monitoring:9090' }],
  ['http://prometheus.example.com', { address: 'http://prometheus.example.com' }],
  ['http://prometheus:9090', { address: 'http://prometheus:9090' }],
])('Prometheus at %s', (address, place) => {
  expect(prometheusPlace(address)).toEqual(place)
})
