// A server on the loopback interface answers like Prometheus. The end-to-end tests use a real one.
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import { prometheusClient } from '../../../../src/observability/metrics/prometheus-client.ts'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import { clusterWith, serve } from '../../fixtures.ts'

const vector = (...values: [Record<string, string>, string][]) => ({
  status: 'success',
  data: { resultType: 'vector', result: values.map(([metric, value]) => ({ metric, value: [1.5, value] })) },
})

async function answering(status: number, body: unknown) {
  const { address, requests } = await serve((_, response) =>
    response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body)),
  )
  return {
    query: prometheusClient(clusterWith({}), { address: `${address}/`, timeout: 10_000 }),
    requests,
    address,
  }
}

describe('a query', () => {
  test('goes to an address with the query in the body and the token in a header', async () => {
    const { address, requests } = await serve((_, response) =>
      response.end(JSON.stringify(vector([{ a: 'b' }, '1.5'], [{}, '+Inf']))),
    )
    expect(await prometheusClient(clusterWith({}), { address, token: 't0k', timeout: 10_000 })('sum(up)')).toEqual([
      { labels: { a: 'b' }, value: 1.5 },
      { labels: {}, value: Infinity },
    ])
    expect(requests).toMatchObject([
      { method: 'POST', url: '/api/v1/query', body: 'query=sum%28up%29', headers: { authorization: 'Bearer t0k' } },
    ])
  })

  test('goes to a Service in the cluster through the API server', async () => {
    const paths: unknown[] = []
    const cluster = clusterWith({
      service: (...args: unknown[]) => (
        paths.push(args),
        Promise.resolve(JSON.stringify({ status: 'success', data: { resultType: 'scalar', result: [1, '7'] } }))
      ),
    })
    expect(
      await prometheusClient(cluster, { service: 'istio-system/prometheus:9090', timeout: 10_000 })('scalar(a) + 1'),
    ).toEqual([{ labels: {}, value: 7 }])
    expect(paths).toEqual([['istio-system', 'prometheus', 9090, '/api/v1/query?query=scalar(a)%20%2B%201', 10_000]])
  })

  test.each<[string, number, unknown, string]>([
    [
      'a syntax error',
      400,
      { status: 'error', errorType: 'bad_data', error: '1:5: parse error: unexpected end of input' },
      '1:5: parse error: unexpected end of input',
    ],
    [
      'a missing token',
      401,
      'Unauthorized',
      'access denied (HTTP 401); set `prometheus.token` to a bearer token that may run queries',
    ],
    ['a gateway in front of Prometheus', 502, '<h1>Bad Gateway</h1>', 'HTTP 502 <h1>Bad Gateway</h1>'],
    ['another server', 200, '<html>', 'the answer does not come from a Prometheus server; check the address'],
    ['another API', 200, { ok: true }, 'the answer does not come from a Prometheus server; check the address'],
    [
      'a range of values',
      200,
      { status: 'success', data: { resultType: 'matrix', result: [] } },
      'the query returns a matrix; it must return one number',
    ],
  ])('fails with the cause: %s', async (_, status, body, message) => {
    const { query, address } = await answering(status, body)
    await expect(query('up')).rejects.toThrow(new Error(`Prometheus (${address}/): ${message}`))
  })

  test('fails with the cause when no server listens', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.close()
    await once(server, 'close')
    await expect(prometheusClient(clusterWith({}), { address, timeout: 10_000 })('up')).rejects.toThrow(
      `Prometheus (${address}): no answer (ECONNREFUSED)`,
    )
  })

  test('fails with the right that is missing', async () => {
    const cluster = clusterWith({
      service: () => Promise.reject(new ApiError(403, 'services "prometheus" is forbidden (HTTP 403)')),
    })
    await expect(prometheusClient(cluster, { service: 'a/prometheus:9090', timeout: 10_000 })('up')).rejects.toThrow(
      'services "prometheus" is forbidden (HTTP 403); to query it through the API server, grant this run the verb get on services/proxy in a',
    )
  })
})
