// What the run says before it changes anything, if a store of telemetry that the config names does not answer.
import { describe, expect, test } from 'vitest'
import { queryFaults } from '../../../../src/verify/telemetry/query-faults.ts'
import { clusterWith, configOf, serve } from '../../fixtures.ts'

/** `answers`: of Services, by their path. A Service without one refuses the connection. */
function faults(section: string, answers: Record<string, string> = {}): Promise<string[]> {
  const cluster = clusterWith({
    service: (namespace: string, name: string, port: number, path: string) => {
      const answer = answers[`${namespace}/${name}:${port}${path.replace(/\?.*/, '')}`]
      return answer === undefined ? Promise.reject(new Error('connection refused')) : Promise.resolve(answer)
    },
  })
  return queryFaults(cluster, configOf(`namespace: shop\nobservability: ${section}`).observability)
}
const traces = (query: string) => `{ traces: { collector: "a/otel:4317", query: "${query}" } }`
const logs = (query: string) => `{ logs: { collector: "a/otel:4317", query: "${query}" } }`
const remedy = (program: string) => `correct it, start ${program}, or set \`proof: off\` to prove nothing`

describe('Jaeger', () => {
  test.each(['{"data":["frontend.shop"],"total":1}', '{"data":null,"total":0}'])(
    'that answers %s is no fault',
    async (answer) => {
      expect(await faults(traces('a/jaeger:16686'), { 'a/jaeger:16686/api/services': answer })).toEqual([])
    },
  )

  test.each(['{"status":"success"}', '<html>Grafana</html>', '[]', 'null'])(
    'is not what answers %s',
    async (answer) => {
      expect(await faults(traces('a/jaeger:80'), { 'a/jaeger:80/api/services': answer })).toEqual([
        "observability.traces.query: Jaeger (service a/jaeger:80): the answer does not come from Jaeger's query API; check " +
          `the address; ${remedy('Jaeger')}`,
      ])
    },
  )

  test('that the run itself installs need not answer yet', async () => {
    expect(await faults('{ traces: { collector: install, query: "observability/jaeger:16686" } }')).toEqual([])
    expect(await faults('{ traces: { collector: install, query: "a/jaeger:16686" } }')).toHaveLength(1)
  })

  test('that nobody answers for is a fault, at an address too', async () => {
    expect(await faults(traces('a/jaeger:16686'))).toEqual([
      `observability.traces.query: Jaeger (service a/jaeger:16686): connection refused; ${remedy('Jaeger')}`,
    ])
    expect(await faults(traces('http://127.0.0.1:2'))).toEqual([
      `observability.traces.query: Jaeger (http://127.0.0.1:2): no answer (ECONNREFUSED); ${remedy('Jaeger')}`,
    ])
  })
})

describe('VictoriaLogs', () => {
  const path = '/select/logsql/query'

  test.each(['', '{"_time":"2026-11-29T00:00:00Z","_msg":"a"}\n'])('that answers %j is no fault', async (answer) => {
    expect(await faults(logs('a/logs:9428'), { [`a/logs:9428${path}`]: answer })).toEqual([])
  })

  test('is not what answers with HTML, or with an error', async () => {
    expect(await faults(logs('a/logs:9428'), { [`a/logs:9428${path}`]: '<html></html>' })).toEqual([
      'observability.logs.query: VictoriaLogs (service a/logs:9428): the answer does not come from VictoriaLogs; check ' +
        `the address; ${remedy('VictoriaLogs')}`,
    ])
    const { address } = await serve((_, response) => void response.writeHead(401).end('who are you'))
    expect(await faults(logs(address))).toEqual([
      `observability.logs.query: VictoriaLogs (${address}): HTTP 401 who are you; ${remedy('VictoriaLogs')}`,
    ])
  })
})

test.each([
  '{ traces: { collector: install }, logs: { collector: stdout } }',
  '{ proof: off, traces: { collector: "a/otel:4317", query: "a/jaeger:16686" } }',
])('nobody is asked for %s', async (section) => {
  expect(await faults(section)).toEqual([])
})
