// A server on the loopback interface answers as Prometheus does; a real one judges canaries in the end-to-end tests.
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import {
  countersOf,
  fillTemplate,
  runQuery,
  prometheusClient,
  prometheusReader,
  type Sample,
} from '../../../../src/canary/metrics/prometheus.ts'
import type { PromotionStatus } from '../../../../src/canary/hooks/finding.ts'
import { ApiError } from '../../../../src/cluster/client.ts'
import { clusterWith, pod, serve } from '../../fixtures.ts'

const outside: PromotionStatus = {
  namespace: 'shop',
  service: 'backend',
  stable: 'v1',
  canary: 'v2',
  weight: 25,
  step: 2,
  phase: 'Progressing',
  intervalMs: 30_000,
}

const vector = (...values: [Record<string, string>, string][]) => ({
  status: 'success',
  data: { resultType: 'vector', result: values.map(([metric, value]) => ({ metric, value: [1.5, value] })) },
})

async function answering(status: number, body: unknown) {
  const { address, asked } = await serve((_, response) =>
    response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body)),
  )
  return {
    query: prometheusClient(clusterWith({}), { address: `${address}/`, counters: false, timeout: 10_000 }),
    asked,
    address,
  }
}

describe('asking', () => {
  test('at an address: the query in the body, with the token', async () => {
    const { address, asked } = await serve((_, response) =>
      response.end(JSON.stringify(vector([{ a: 'b' }, '1.5'], [{}, '+Inf']))),
    )
    expect(
      await prometheusClient(clusterWith({}), { address, token: 't0k', counters: false, timeout: 10_000 })('sum(up)'),
    ).toEqual([
      { labels: { a: 'b' }, value: 1.5 },
      { labels: {}, value: Infinity },
    ])
    expect(asked).toMatchObject([
      { method: 'POST', url: '/api/v1/query', body: 'query=sum%28up%29', headers: { authorization: 'Bearer t0k' } },
    ])
  })

  test('in the cluster: through the API server', async () => {
    const paths: unknown[] = []
    const cluster = clusterWith({
      service: (...args: unknown[]) => (
        paths.push(args),
        Promise.resolve(JSON.stringify({ status: 'success', data: { resultType: 'scalar', result: [1, '7'] } }))
      ),
    })
    expect(
      await prometheusClient(cluster, { service: 'istio-system/prometheus:9090', counters: false, timeout: 10_000 })(
        'scalar(a) + 1',
      ),
    ).toEqual([{ labels: {}, value: 7 }])
    expect(paths).toEqual([['istio-system', 'prometheus', 9090, '/api/v1/query?query=scalar(a)%20%2B%201', 10_000]])
  })

  test.each<[string, number, unknown, string]>([
    [
      'a query that does not parse',
      400,
      { status: 'error', errorType: 'bad_data', error: '1:5: parse error: unexpected end of input' },
      '1:5: parse error: unexpected end of input',
    ],
    [
      'a token that is missing',
      401,
      'Unauthorized',
      'refused (HTTP 401); give a bearer token that may query (`prometheus.token`)',
    ],
    ['a gateway before it', 502, '<h1>Bad Gateway</h1>', 'HTTP 502 <h1>Bad Gateway</h1>'],
    ['another server', 200, '<html>', 'the answer is not that of a Prometheus; check the address'],
    ['another API', 200, { ok: true }, 'the answer is not that of a Prometheus; check the address'],
    [
      'a range',
      200,
      { status: 'success', data: { resultType: 'matrix', result: [] } },
      'the query answers a matrix; it must answer one number',
    ],
  ])('%s is told', async (_, status, body, message) => {
    const { query, address } = await answering(status, body)
    await expect(query('up')).rejects.toThrow(new Error(`Prometheus (${address}/): ${message}`))
  })

  test('a server that is not there is told', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.close()
    await once(server, 'close')
    await expect(
      prometheusClient(clusterWith({}), { address, counters: false, timeout: 10_000 })('up'),
    ).rejects.toThrow(`Prometheus (${address}): no answer (ECONNREFUSED)`)
  })

  test('a right that is missing is told, with the right', async () => {
    const cluster = clusterWith({
      service: () => Promise.reject(new ApiError(403, 'services "prometheus" is forbidden (HTTP 403)')),
    })
    await expect(
      prometheusClient(cluster, { service: 'a/prometheus:9090', counters: false, timeout: 10_000 })('up'),
    ).rejects.toThrow(
      'services "prometheus" is forbidden (HTTP 403); asking it through the API server needs the verb get on services/proxy in a',
    )
  })
})

describe("the user's queries", () => {
  const bounded = { query: 'x', failures: 1 }
  const given =
    (...values: number[]) =>
    () =>
      Promise.resolve(values.map((value): Sample => ({ labels: {}, value })))

  test.each<[string, { min?: number; max?: number }, number[], string, string]>([
    ['within', { min: 1, max: 2 }, [1.5], 'pass', '1.5, at least 1 and at most 2 is good'],
    ['on a bound', { max: 2 }, [2], 'pass', '2, at most 2 is good'],
    ['below', { min: 1 }, [0.98765432], 'fail', '0.987654, at least 1 is good'],
    ['above', { max: 2 }, [3], 'fail', '3, at most 2 is good'],
    ['no number', { max: 2 }, [NaN], 'undecided', 'the query answers no number'],
    ['nothing', { max: 2 }, [], 'undecided', 'the query answers no number'],
    [
      'several numbers',
      { max: 2 },
      [1, 1],
      'undecided',
      'the query answers 2 series; it must answer one number, such as a sum()',
    ],
  ])('%s', async (_, bounds, values, state, text) => {
    expect(await runQuery(given(...values), { ...bounded, ...bounds }, outside)).toEqual({ state, text })
  })

  test('a Prometheus that does not answer is no evidence', async () => {
    expect(await runQuery(() => Promise.reject(new Error('down')), { ...bounded, max: 1 }, outside)).toEqual({
      state: 'undecided',
      text: 'down',
    })
  })

  test("the step's values are put in, and what is Prometheus' own stays", () => {
    expect(
      fillTemplate(
        'rate(x{ns="$namespace",s=~"$service|$stable|$canary"}[$interval]) * $weight / $weights + "$1"',
        outside,
      ),
    ).toBe('rate(x{ns="shop",s=~"backend|v1|v2"}[30s]) * 25 / $weights + "$1"')
    expect(fillTemplate('[$interval]', { ...outside, intervalMs: 200 })).toBe('[1s]')
  })
})

describe("the sidecars' counters", () => {
  const metrics = { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' }
  const pods = [
    pod({ metadata: { name: 'backend-1.a', uid: 'u1' } }),
    pod({ metadata: { name: 'backend-2', uid: 'u2' } }),
  ]
  const sample = (labels: Record<string, string>, value: number): Sample => ({
    labels: { __name__: 'istio_requests_total', reporter: 'destination', ...labels },
    value,
  })
  /** What is read of the pods, one query after the other. */
  async function read(...answers: Sample[][]): Promise<Record<string, Record<string, number>>[]> {
    const reader = prometheusReader(() => Promise.resolve(answers.shift()!), metrics, ['backend.shop'])
    const readings = []
    while (answers.length > 0)
      readings.push(
        Object.fromEntries([...(await reader(pods))].map(([id, reading]) => [id, Object.fromEntries(reading)])),
      )
    return readings
  }
  const series = (code: string) => `istio_requests_total{reporter="destination",pod="backend-1.a",code="${code}"}`

  test('are asked for in one query for all pods', () => {
    expect(countersOf(metrics, ['backend.shop'], pods)).toBe(
      [
        ...['pod', 'kubernetes_pod_name', 'pod_name', 'k8s_pod_name'].map(
          (label) =>
            `{__name__=~"istio_requests_total|istio_request_duration_milliseconds_bucket",reporter="destination",${label}=~"backend-1\\\\.a|backend-2"}`,
        ),
        '{__name__="istio_requests_total",reporter="source",destination_service=~"backend\\\\.shop"}',
      ].join(' or '),
    )
  })

  test('are sorted by pod, whatever the label is called; a pod that has none has served nothing', async () => {
    expect(await read([sample({ kubernetes_pod_name: 'backend-2' }, 3)])).toEqual([
      { u1: {}, u2: { 'istio_requests_total{reporter="destination",kubernetes_pod_name="backend-2"}': 3 } },
    ])
  })

  test('of a pod of the same name in another namespace, or of one that is not asked for, are left out', async () => {
    expect(await read([sample({ pod: 'backend-2', namespace: 'other' }, 3), sample({ pod: 'frontend' }, 4)])).toEqual([
      { u1: {}, u2: {} },
    ])
    expect((await read([sample({ pod: 'backend-2', namespace: 'shop' }, 3)]))[0]!['u2']).not.toEqual({})
  })

  test('stand where they stood while a scrape is missing', async () => {
    const [, gone, back] = await read(
      [sample({ pod: 'backend-1.a', code: '200' }, 90)],
      [],
      [sample({ pod: 'backend-1.a', code: '200' }, 95)],
    )
    expect(gone!['u1']).toEqual({ [series('200')]: 90 })
    expect(back!['u1']).toEqual({ [series('200')]: 95 })
  })

  test('of a pod that began anew are only those that it has now', async () => {
    const before = [sample({ pod: 'backend-1.a', code: '200' }, 90), sample({ pod: 'backend-1.a', code: '503' }, 40)]
    const [, after] = await read(before, [sample({ pod: 'backend-1.a', code: '200' }, 2)])
    expect(after!['u1']).toEqual({ [series('200')]: 2 })
  })

  test('without a label that names the pod are an error', async () => {
    await expect(read([sample({ instance: '10.0.0.1' }, 1)])).rejects.toThrow(
      'Prometheus holds istio_requests_total without a label that names the pod; add one of pod, kubernetes_pod_name, pod_name, k8s_pod_name where the sidecars are scraped',
    )
  })
})
