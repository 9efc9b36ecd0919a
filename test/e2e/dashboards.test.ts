// The queries of the panels and of the alerts on a real Prometheus, after a promotion. Grafana itself cannot be had here.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { panelQueries } from '../../dev/dashboards/queries.ts'
import { alertsOf } from '../../src/observability/alerts/index.ts'
import { importAddons } from '../mesh/index.ts'
import { selectorsIn } from '../promql.ts'
import { configOf } from '../unit/fixtures.ts'
import { runner } from './runner.ts'
import { deploySampleApp, embeddedMesh, sampleApp, type TestCluster } from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>
let inputs: Record<string, string>
let text: string

const kubectl = (...args: string[]) => testCluster.run(['kubectl', ...args])
const section = `
observability:
  metrics: { prometheus: install }
  dashboards: { configMaps: true }
  alerts: true
`

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  await importAddons('prometheus')
  await deploySampleApp(testCluster, 'healthy')
  text = readFileSync(`${sampleApp}/mesh.yaml`, 'utf8') + section
  inputs = { ...testCluster.inputs, config: machine.file('mesh.yaml', text) }
  const { code } = await machine.run({ ...inputs, stages: 'install, inject, policies, observe, verify' })
  expect(code).toBe(0)
})
afterAll(async () => {
  machine.remove()
  await kubectl('delete', 'namespace', 'observability', '--ignore-not-found', '--wait')
})

type Answer<T> = { status: string; error?: string; data: T }
/** `path`: of the API of a Service, reached through the API server. */
async function api<T>(service: string, path: string): Promise<T> {
  return JSON.parse(await kubectl('get', '--raw', `/api/v1/namespaces/${service}/proxy${path}`)) as T
}
const prometheus = <T>(path: string) => api<Answer<T>>('observability/services/prometheus:9090', path)

/** Whether it returns a series now. */
async function hasSeries(expr: string): Promise<boolean> {
  const path = `/api/v1/query?query=${encodeURIComponent(expr)}`
  const { status, error, data } = await prometheus<{ result: unknown[] }>(path)
  if (status !== 'success') throw new Error(`${expr}: ${error}`)
  return data.result.length > 0
}

async function without(queries: Record<string, string>): Promise<string[]> {
  const missing: string[] = []
  for (const [name, expr] of Object.entries(queries)) if (!(await hasSeries(expr))) missing.push(name)
  return missing
}

describe('after a promotion', () => {
  const values = { namespace: 'sample-app', service: 'backend', range: '1m', wholeRange: '10m' }
  const panels = Object.fromEntries(
    panelQueries(values).map(({ dashboard, row, panel, expr }) => [`${dashboard}/${row}/${panel}`, expr]),
  )
  /** Each is about something that a healthy promotion does not do. */
  const aboutTrouble = [
    'Mesh services/Resilience and mutual TLS/Failed calls by reason',
    'Mesh services/Resilience and mutual TLS/Plaintext requests',
    'Mesh canary/Success and latency by version/Calls that reached no version',
  ]
  const alertSelectors = () =>
    Object.fromEntries(
      alertsOf(configOf(text))
        .groups.flatMap(({ rules }) => rules.flatMap(({ expr }) => selectorsIn(expr)))
        .map((selector) => [selector, selector]),
    )
  /** Failures, and metrics that only a mesh of Istio's own images has. */
  const absent = [
    /response_code=~"5|grpc_response_status|response_code!~/,
    /connection_security_policy="none"/,
    /^pilot_(total_xds_rejects|total_xds_internal_errors|xds_write_timeout)|builderr/,
    // istiod signs with a self-signed root here, without a chain.
    /^citadel_server_cert_chain_expiry_seconds/,
    // The stock Envoy of the test mesh counts no connections.
    /^istio_tcp_connections_opened_total/,
  ]

  beforeAll(async () => {
    const address = await kubectl(
      '-n',
      'observability',
      'get',
      'service/prometheus',
      '-o',
      'jsonpath={.spec.clusterIP}',
    )
    const endpoint = `http://${address}:9090/api/v1/otlp/v1/metrics`
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: endpoint,
      OTEL_TRACES_EXPORTER: 'none',
    }
    const { outputs } = await machine.run({ ...inputs, stages: 'promote', interval: '5s' }, { env })
    expect(outputs).toMatchObject({ verdict: 'promoted' })
  })

  test('every panel has a series, but for those about trouble', async () => {
    const missing = await without(panels)
    expect(missing.filter((name) => !aboutTrouble.includes(name))).toEqual([])
  })

  test('every metric of the alerts exists, but for those about trouble', async () => {
    const missing = await without(alertSelectors())
    expect(missing.filter((selector) => !absent.some((pattern) => pattern.test(selector)))).toEqual([])
  })

  test('Prometheus evaluates all alerts', async () => {
    type Rules = { groups: { rules: { name: string; health: string; lastError?: string }[] }[] }
    const rules = async () => (await prometheus<Rules>('/api/v1/rules')).data.groups.flatMap((group) => group.rules)
    await expect
      .poll(async () => new Set((await rules()).map(({ health }) => health)), { timeout: 60_000 })
      .toEqual(new Set(['ok']))
    const names = alertsOf(configOf(text)).groups.flatMap((group) => group.rules.map(({ alert }) => alert))
    expect((await rules()).map(({ name }) => name).sort()).toEqual(names.sort())
  })
})
