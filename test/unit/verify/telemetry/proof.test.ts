// The proof as a whole: what it sends, what it waits for, and what it says. A fake stands for the cluster, because the
// tests plant what arrives and what does not; the e2e tests run the real programs.
import { connect } from 'node:net'
import { beforeEach, describe, expect, test } from 'vitest'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import type { Forward } from '../../../../src/cluster/forward.ts'
import type { Kind, KubeObject, Pod, Service } from '../../../../src/cluster/objects.ts'
import { proveTelemetry } from '../../../../src/verify/telemetry/proof.ts'
import { FakeClock } from '../../fake-clock.ts'
import { clusterWith, configOf, pod, serve } from '../../fixtures.ts'

const service = (name: string): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec: { selector: { app: name }, ports: [{ name: world.portName, port: 80 }] },
})
const podOf = (app: string, url = ''): Pod =>
  pod({
    metadata: { name: `${app}-1`, labels: { app } },
    spec: { containers: [{ name: 'app', env: [{ name: 'URL', value: url }] }] },
    status: { podIP: app === 'frontend' ? '10.0.0.5' : '10.0.0.6' },
  })

/** The world: what each request leads to. Tests change it. */
let world: {
  /** The application's answer, or the API server's refusal. */
  answer: () => string
  /** Whether the frontend calls the backend for a request, and without one. */
  calls: boolean
  background: boolean
  forwards: boolean
  prometheusLags: number
  objects: KubeObject[]
  logged: boolean
  /** The status that the sidecar counts. */
  code: string
  /** Whether the counters of a pod can be read. */
  isRead: (name: string) => boolean
  /** Whether the sidecar refuses plaintext, and what answers a forwarded port. */
  strict: boolean
  forward: Forward
  portName: string
  /** Whether the frontend calls a Redis in another namespace. */
  elsewhere: boolean
  /** The lines in the store, for the traceparent of a request. */
  stored: (traceId: string) => string
  /** What Prometheus has: the labels of a series, and how far its value is behind the sidecar's. */
  scraped: { labels: Record<string, string>; behind: number }[]
}
let requests: Record<string, string>[]
let [got, sent] = [0, 0]

beforeEach(() => {
  ;[requests, got, sent] = [[], 0, 0]
  world = {
    answer: () => '',
    calls: true,
    background: false,
    forwards: true,
    prometheusLags: 0,
    objects: [],
    logged: true,
    code: '200',
    isRead: () => true,
    strict: false,
    forward: () => Promise.reject(new Error('forbidden')),
    portName: 'http',
    elsewhere: false,
    stored: () => '',
    scraped: [{ labels: { pod: 'frontend-1' }, behind: 0 }],
  }
})

const series = (labels: string) => `istio_requests_total{${labels},response_code="200"}`
const destination = series('reporter="destination",destination_workload="frontend"')
const callOf = (name: string, namespace: string) =>
  series(
    `reporter="source",source_workload="frontend",destination_service_name="${name}",destination_service_namespace="${namespace}"`,
  )

function counters(name: string): string {
  if (!world.isRead(name)) throw new ApiError(503, 'busy')
  if (name !== 'frontend-1') return ''
  if (world.background) sent += 1
  const shared = world.elsewhere ? `${callOf('backend', 'shared')} ${got}\n` : ''
  return `${destination.replace('200', world.code)} ${got}\n${callOf('backend', 'shop')} ${sent}\n${shared}`
}

function traces(path: string): string {
  const tag = (key: string, value: string) => ({ key, value })
  const node = (name: string) => tag('node_id', `sidecar~10.0.0.1~${name}.shop~shop.svc.cluster.local`)
  const ids = [...path.matchAll(/traceID=(\w+)/g)].map(([, id]) => id)
  const call = [
    {
      spanID: '2',
      tags: [tag('span.kind', 'client'), node('frontend-1'), tag('upstream_cluster', 'outbound|80||backend.shop.svc')],
    },
    {
      spanID: '3',
      references: [{ refType: 'CHILD_OF', spanID: '2' }],
      tags: [tag('span.kind', 'server'), node('backend-1')],
    },
  ]
  const first = { spanID: '1', tags: [tag('span.kind', 'server'), node('frontend-1')] }
  const trace = (traceID: string, spans: object[]) => ({
    processes: { p: { serviceName: 'frontend.shop' } },
    spans: spans.map((span) => ({ ...span, traceID, processID: 'p' })),
  })
  // A call without the headers makes a trace of its own.
  const data =
    ids.length === 0 && path.includes('service=frontend.shop')
      ? [trace('e'.repeat(32), sent > 0 && !world.forwards ? call : [])]
      : ids.map((id) => trace(id!, [...(world.strict ? [] : [first]), ...(world.forwards && sent > 0 ? call : [])]))
  return JSON.stringify({ data })
}

function prometheus(path: string): string {
  if (path.includes('/targets'))
    return JSON.stringify({ status: 'success', data: { activeTargets: [], droppedTargets: [] } })
  const result = world.scraped.map(({ labels, behind }) => ({
    metric: labels,
    value: [0, String(got - world.prometheusLags - behind)],
  }))
  return JSON.stringify({ status: 'success', data: { resultType: 'vector', result } })
}

const cluster = clusterWith({
  list: (kind: Kind, namespace?: string) => {
    if (namespace === 'istio-system') return Promise.resolve(world.objects.filter((each) => each.kind === kind))
    if (kind === 'Service') return Promise.resolve(['frontend', 'backend'].map(service))
    if (kind === 'Pod') return Promise.resolve([podOf('frontend', 'http://backend/'), podOf('backend')])
    return Promise.resolve(world.objects.filter((each) => each.kind === kind))
  },
  get: () => Promise.resolve(undefined),
  pod: async (_: string, name: string, port: number, _path: string, _ms: number, headers: Record<string, string>) => {
    if (port === 15090) return counters(name)
    if (world.strict) throw new ApiError(503, 'error trying to reach service: EOF')
    requests.push(headers)
    got += 1
    if (world.calls) sent += 1
    return Promise.resolve(world.answer())
  },
  service: (_: string, name: string, _port: number, path: string) => {
    if (name === 'victoria-logs') return Promise.resolve(world.stored(traceIdOf(requests.at(-1)!)))
    return Promise.resolve(name === 'jaeger' ? traces(path) : prometheus(path))
  },
  log: () => Promise.resolve(world.logged ? requests.map((each) => accessLog(traceIdOf(each), each)).join('\n') : ''),
})

const traceIdOf = (headers: Record<string, string>) => headers['traceparent']!.split('-')[1]!
/** A line of a sidecar, with more or other attributes. */
const accessLog = (traceId: string, more: object = {}) =>
  JSON.stringify({ trace_id: traceId, 'k8s.pod.name': 'frontend-1', 'envoy.response_flags': '-', ...more })

function prove(section: string, more = '') {
  const config = configOf(`namespace: shop\n${more}observability: ${section}\n`)
  const { forward } = world
  return proveTelemetry({ cluster, config, forward, signal: new AbortController().signal, clock: new FakeClock() })
}

const everything = '{ metrics: { prometheus: install }, traces: { collector: install }, logs: { collector: stdout } }'

test('one request, with a sampled trace, proves all three', async () => {
  const rows = await prove(everything)
  expect(rows.map(({ what, ok }) => [what, ok])).toEqual([
    ['metrics', true],
    ['traces', true],
    ['logs', true],
  ])
  expect(rows[1]?.text).toContain('frontend → backend (client)')
  expect(requests).toHaveLength(1)
  expect(requests[0]?.['traceparent']).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
})

test('a config that asks for none of them, or for no proof, sends nothing', async () => {
  expect(await prove('{}')).toEqual([])
  expect(await prove('{ traces: { collector: install }, proof: off }')).toEqual([])
  expect(requests).toEqual([])
})

describe('metrics', () => {
  test('that do not have the request are not enough, and the cause is looked up', async () => {
    world.prometheusLags = 1
    const [row] = await prove('{ metrics: { prometheus: install }, proof: { timeout: 20s } }')
    // A second request would let the first one show.
    expect(requests.length).toBeGreaterThan(1)
    expect(row?.ok).toBe(true)
    world.prometheusLags = 1_000
    const [late] = await prove('{ metrics: { prometheus: install }, proof: { timeout: 20s } }')
    expect(late).toMatchObject({ ok: false, text: expect.stringContaining('no job of Prometheus scrapes') as string })
  })
})

describe('a series in Prometheus', () => {
  const metrics = () => prove('{ metrics: { prometheus: install }, proof: { timeout: 1s } }')
  const okOf = async (...scraped: (typeof world)['scraped']) => {
    world.scraped = scraped
    return (await metrics())[0]?.ok
  }

  test('of another replica, whose address begins with the same digits, is not the pod', async () => {
    expect(await okOf({ labels: { pod: 'frontend-2', instance: '10.0.0.57:15020' }, behind: 0 })).toBe(false)
    expect(await okOf({ labels: { instance: '10.0.0.57:15020' }, behind: 0 })).toBe(false)
    expect(await okOf({ labels: { pod: 'frontend-2', instance: '10.0.0.5:15020' }, behind: 0 })).toBe(false)
  })

  test('is of the pod by its name, or by its address where there is no name', async () => {
    expect(await okOf({ labels: { pod: 'frontend-1', instance: 'any:15020' }, behind: 0 })).toBe(true)
    expect(await okOf({ labels: { instance: '10.0.0.5:15020' }, behind: 0 })).toBe(true)
  })

  test('is of the pod whatever the label of its name is called', async () => {
    const instance = 'node-a:15020'
    expect(await okOf({ labels: { kubernetes_pod_name: 'frontend-1', instance }, behind: 0 })).toBe(true)
    expect(await okOf({ labels: { k8s_pod_name: 'frontend-2', instance: '10.0.0.5:15020' }, behind: 0 })).toBe(false)
  })

  test('of a pod of the same name in another namespace or cluster is not the pod', async () => {
    expect(await okOf({ labels: { pod: 'frontend-1', namespace: 'office' }, behind: 0 })).toBe(false)
    const pod = 'frontend-1'
    const own = { labels: { pod, cluster: 'a', instance: '10.0.0.5:15020' }, behind: 0 }
    const other = { labels: { pod, cluster: 'b', instance: '10.9.0.5:15020' }, behind: 1_000 }
    expect(await okOf(own, other)).toBe(true)
    expect(await okOf({ ...own, behind: 1_000 }, { ...other, behind: 0 })).toBe(false)
  })

  test('of each job that scrapes the pod has the request', async () => {
    const labels = { pod: 'frontend-1' }
    expect(await okOf({ labels, behind: 0 }, { labels, behind: 1_000 })).toBe(false)
  })
})

describe('traces', () => {
  const traced = '{ traces: { collector: install }, proof: { timeout: 20s } }'

  test('without a share of users are named, although the request itself is traced', async () => {
    const [row] = await prove('{ traces: { collector: install, sampling: 0% } }')
    expect(row).toMatchObject({ ok: false, text: expect.stringContaining('sampling is 0%') as string })
  })

  test('that nothing can read back are not called proved', async () => {
    const [row] = await prove('{ traces: { collector: "monitoring/otel:4317" } }')
    expect(row?.ok).toBeUndefined()
    expect(row?.text).toContain('set `observability.traces.query`')
  })

  test('that end at the first service show that it does not forward the headers', async () => {
    world.forwards = false
    const [row] = await prove(traced)
    expect(row?.ok).toBe(false)
    expect(row?.text).toContain('frontend-1 does not forward the trace headers')
  })

  test('cannot tell that of a service that calls all the time, unless the config names the next one', async () => {
    world.forwards = false
    world.background = true
    const [row] = await prove(traced)
    expect(row?.ok).toBeUndefined()
    expect(row?.text).toContain('name backend in `observability.proof.through`')
    const [stated] = await prove('{ traces: { collector: install }, proof: { timeout: 20s, through: backend } }')
    expect(stated).toMatchObject({ ok: false, text: expect.stringContaining('does not forward') as string })
  })
})

describe('a trace with fewer hops than the request may have', () => {
  const traced = '{ traces: { collector: install }, proof: { timeout: 20s } }'
  const row = async () => (await prove(traced))[0]!

  test('is not proved by a later request that called nobody', async () => {
    world.forwards = false
    // The answer is cached after the first request.
    world.answer = () => {
      world.calls = false
      return ''
    }
    const { ok, text } = await row()
    expect(requests.length).toBeGreaterThan(1)
    expect(ok).toBeUndefined()
    expect(text).toContain('a call of backend, which frontend-1 called during one request, and not during another')
  })

  test('is not known if the counters of a pod on its way cannot be read', async () => {
    let readings = 0
    world.isRead = (name) => name !== 'frontend-1' || (readings += 1) === 1
    world.calls = false
    const { ok, text } = await row()
    expect(ok).toBeUndefined()
    expect(text).toContain('the counters of the sidecar of frontend-1 could not be read')
  })

  test('is not blamed for calls that were counted before it', async () => {
    world.forwards = false
    world.calls = false
    sent = 100
    let readings = 0
    world.isRead = () => (readings += 1) > 2
    // One request, so that none after it can be read.
    const { ok, text } = (await prove('{ traces: { collector: install }, proof: { timeout: 1s } }'))[0]!
    expect(ok).toBeUndefined()
    expect(text).toContain('the counters of the sidecar of frontend-1 could not be read')
  })

  test('says what it does not show', async () => {
    world.calls = false
    world.answer = () => {
      throw new ApiError(404, 'Not Found (HTTP 404)')
    }
    const { ok, text } = await row()
    expect(ok).toBe(true)
    expect(text).toContain('the request went through the sidecar of frontend and was answered with 404')
    expect(text).toContain('frontend called no other service then; set `observability.proof.path`')
  })

  test('does not lack a call of a service of the same name elsewhere', async () => {
    world.calls = false
    world.elsewhere = true
    const { ok, text } = await row()
    expect(ok).toBe(true)
    expect(text).toContain('calls out of the namespace were not looked at: backend.shared')
  })
})

describe('where the sidecar refuses plaintext', () => {
  const row = async (section: string, more?: string) => (await prove(section, more))[0]!
  const metrics = '{ metrics: { prometheus: install }, proof: { timeout: 1s } }'
  const exposed = 'expose: { frontend: { hosts: [shop.example.com] } }\n'
  const gateway = { app: 'gateway', istio: 'ingressgateway' }
  const answered: string[] = []
  /** What every forwarded port leads to. */
  async function application(status: number, onRequest: () => void = () => undefined) {
    const server = await serve(({ headers }, response) => {
      answered.push(String(headers['traceparent']))
      onRequest()
      response.writeHead(status).end()
    })
    world.strict = true
    world.forward = () => Promise.resolve(connect(Number(new URL(server.address).port), '127.0.0.1'))
  }
  beforeEach(() => {
    answered.length = 0
    const service = { name: 'istio-ingressgateway', namespace: 'istio-system' }
    const ports = [{ name: 'http2', port: 80, targetPort: 8080 }]
    world.objects = [
      { apiVersion: 'v1', kind: 'Service', metadata: service, spec: { selector: gateway, ports } } as KubeObject,
      pod({ metadata: { name: 'gateway-1', namespace: 'istio-system', labels: gateway } }),
    ]
  })

  test('a service that calls others without the headers is named, and its calls are found', async () => {
    world.forwards = false
    await application(200, () => (sent += 1))
    const { ok, text } = await row('{ traces: { collector: install }, proof: { timeout: 1s } }')
    expect(ok).toBe(false)
    expect(text).toContain(`such as ${'e'.repeat(32)}): frontend-1 does not forward the trace headers`)
  })

  test('a service that calls nobody has nothing to show, which is no fault', async () => {
    await application(200)
    const rows = await prove(`${everything.slice(0, -2)}, proof: { timeout: 1s } }`)
    expect(rows.map(({ ok }) => ok)).toEqual([undefined, undefined, undefined])
  })

  test('the line of a call is not expected with ids that the application may not forward', async () => {
    await application(200, () => (sent += 1))
    const asked = { spec: { accessLogging: [{ providers: [{ name: 'mesh-canary-logs' }] }] } }
    const telemetry = { apiVersion: 'telemetry.istio.io/v1', kind: 'Telemetry', metadata: { name: 'mesh' }, ...asked }
    world.objects.push(telemetry)
    const logs = 'logs: { collector: stdout }, proof: { timeout: 1s }'
    const { ok, text } = await row(`{ ${logs} }`)
    expect(ok).toBeUndefined()
    expect(text).toContain('with new ids unless frontend forwards the header x-request-id')
    const rows = await prove(`{ traces: { collector: "monitoring/otel:4317" }, ${logs} }`)
    expect(rows[1]?.ok).toBeUndefined()
    expect(rows[1]?.text).toContain('unless frontend forwards the header traceparent')
  })

  test('a line is missing for certain if no Telemetry asks for one', async () => {
    await application(200, () => (sent += 1))
    const { ok, text } = await row('{ logs: { collector: stdout }, proof: { timeout: 1s } }')
    expect(ok).toBe(false)
    expect(text).toContain('no Telemetry of shop names the provider mesh-canary-logs')
  })

  test('a service that speaks only gRPC is not asked past its sidecar', async () => {
    world.portName = 'grpc'
    await application(200)
    const { ok, text } = await row(metrics)
    expect(ok).toBeUndefined()
    expect(text).toContain('past its sidecar it speaks HTTP/2 or gRPC')
    expect(answered).toEqual([])
  })

  test('only a refusal of the API server is about rights', async () => {
    world.strict = true
    expect((await row(metrics)).text).toContain('needs the verbs get and create on pods/portforward in shop')
    world.forward = () => Promise.reject(new Error('Parse Error: Expected HTTP/'))
    const { text } = await row(metrics)
    expect(text).toContain('Parse Error: Expected HTTP/; check that the application speaks HTTP/1.1')
    expect(text).not.toContain('verbs')
  })

  test.each([302, 401, 503])('a %i that the application gives through the gateway is an answer', async (status) => {
    await application(status, () => (got += 1))
    world.code = String(status)
    expect((await row(metrics, exposed)).ok).toBe(true)
    expect(answered).toHaveLength(1)
  })

  test.each([401, 403, 429, 503])('a %i of the gateway itself is no answer of the application', async (status) => {
    await application(status)
    const rows = await prove(`${everything.slice(0, -2)}, proof: { timeout: 1s } }`, exposed)
    expect(rows.map(({ ok }) => ok)).toEqual([undefined, undefined, undefined])
    expect(rows[0]?.text).toContain(
      `the gateway istio=ingressgateway answered / of shop.example.com with ${status} itself`,
    )
  })

  test('a redirect of the gateway itself is named, and the next request has other ids', async () => {
    await application(302)
    const { ok, text } = await row(metrics, exposed)
    expect(ok).toBeUndefined()
    expect(text).toContain('the gateway istio=ingressgateway answered / of shop.example.com with 302 itself')
    expect(new Set(answered.map((each) => each.split('-')[1])).size).toBe(answered.length)
  })

  test('a gateway that cannot be asked is named, with why', async () => {
    await application(200)
    world.objects = []
    expect((await row(metrics, exposed)).text).toContain('the gateway istio=ingressgateway could not be asked (')
  })
})

describe('logs', () => {
  test('of errors alone do not hold a request that was answered well', async () => {
    const [row] = await prove('{ logs: { collector: stdout, onlyErrors: true } }')
    expect(row?.ok).toBeUndefined()
    expect(row?.text).toContain('the filter of `onlyErrors` keeps no line of the request, which was answered with 200')
  })

  test('of errors alone hold a request that failed', async () => {
    world.answer = () => {
      throw new ApiError(500, 'this version fails (HTTP 500)')
    }
    world.logged = false
    const [row] = await prove('{ logs: { collector: stdout, onlyErrors: true }, proof: { timeout: 1s } }')
    expect(row?.ok).toBe(false)
  })

  test('of errors alone lack the line of the last request that failed, not of a later one', async () => {
    world.logged = false
    world.answer = () => {
      if (requests.length === 1) throw new ApiError(500, 'this version fails (HTTP 500)')
      return ''
    }
    const [row] = await prove('{ logs: { collector: stdout, onlyErrors: true }, proof: { timeout: 20s } }')
    expect(requests.length).toBeGreaterThan(1)
    expect(row?.ok).toBe(false)
    expect(row?.text).toContain(`no line of the request with the x-request-id ${requests[0]!['x-request-id']}`)
  })

  describe('in a store', () => {
    const section =
      'traces: { collector: "monitoring/otel:4317" }, ' +
      'logs: { collector: "monitoring/otel:4317", query: "monitoring/victoria-logs:9428" }, proof: { timeout: 1s }'
    const inStore = async () => (await prove(`{ ${section} }`)).find(({ what }) => what === 'logs')
    const time = { _time: '2026-01-01T00:00:00Z' }

    test('are lines of a sidecar with the id of the trace', async () => {
      world.stored = (traceId) => accessLog(traceId, time)
      expect(await inStore()).toMatchObject({ ok: true })
    })

    test('are not what another program answers', async () => {
      world.stored = () => '<!doctype html>\n<title>Grafana</title>\n'
      const finding = await inStore()
      expect(finding?.ok).toBe(false)
      expect(finding?.text).toContain('the answer does not come from VictoriaLogs')
      world.stored = (traceId) => JSON.stringify({ echoed: traceId })
      expect((await inStore())?.text).toContain('the answer does not come from VictoriaLogs')
    })

    test('are neither lines of the application nor those of another trace', async () => {
      world.stored = (traceId) =>
        JSON.stringify({ ...time, trace_id: traceId, 'k8s.pod.name': 'frontend-1', _msg: 'hi' })
      expect(await inStore()).toMatchObject({
        ok: false,
        text: expect.stringContaining('the store of the logs has no line') as string,
      })
      world.stored = () => accessLog('0'.repeat(32), time)
      expect(await inStore()).toMatchObject({ ok: false })
    })
  })

  test('without a Telemetry that asks for them are explained', async () => {
    world.logged = false
    const [row] = await prove('{ logs: { collector: stdout }, proof: { timeout: 1s } }')
    expect(row).toMatchObject({
      ok: false,
      text: expect.stringContaining('no Telemetry of shop names the provider mesh-canary-logs') as string,
    })
  })
})

test('an application that does not answer fails all of them', async () => {
  world.answer = () => {
    throw new ApiError(0, 'no answer within 15 s')
  }
  const rows = await prove('{ metrics: { prometheus: install }, logs: { collector: stdout }, proof: { timeout: 1s } }')
  const text = 'the request to frontend (pod frontend-1) failed: no answer within 15 s'
  expect(rows).toEqual([
    { what: 'metrics', ok: false, text },
    { what: 'logs', ok: false, text },
  ])
})
