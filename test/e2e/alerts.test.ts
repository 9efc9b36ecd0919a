// The alert rules in Prometheus' own test tool: each fires when it should, and only then. Needs no cluster.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { alertsOf, rulesFile } from '../../src/observability/alerts/index.ts'
import { stringify } from '../../src/yaml/stringify.ts'
import { goTool } from '../mesh/index.ts'
import { configOf } from '../unit/fixtures.ts'

const exec = promisify(execFile)

/** The canary may share the traffic for 10 minutes, and its requests are seen for 10 more. */
const { groups } = alertsOf(
  configOf(`
namespace: shop
mtls: strict
services: { backend: { port: 3001 } }
canary: { service: backend, steps: [50, 100], interval: 1m, progressDeadline: 2m, checks: { minRequests: 10 } }
`),
)

/** The same for a canary with a Service of its own. */
const ofServices = alertsOf(
  configOf(`
namespace: shop
canary:
  service: backend
  stable: { service: backend-stable }
  canary: { service: backend-next }
  steps: [50, 100]
  interval: 1m
  progressDeadline: 2m
  checks: { minRequests: 10 }
`),
).groups

let promtool: string
const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-alerts-'))
beforeAll(async () => {
  promtool = await goTool('promtool')
  writeFileSync(join(folder, 'rules.yaml'), rulesFile(groups))
  writeFileSync(join(folder, 'services.yaml'), rulesFile(ofServices))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Values in promtool's notation, one each 15 s: `0+10x40` grows by 10 for 40 times, `_x20` is no value for 20 times. */
type Series = Record<string, string>

/** Whether the alert fires, this long after the first values. `interval`: between two values. */
async function fires(
  alert: string,
  at: string,
  series: Series,
  interval = '15s',
  rules = 'rules.yaml',
): Promise<boolean> {
  const unitTest = (isFiring: boolean) => ({
    rule_files: [rules],
    evaluation_interval: interval,
    tests: [
      {
        interval,
        input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
        promql_expr_test: [
          {
            expr: `count(ALERTS{alertname="${alert}",alertstate="firing"})`,
            eval_time: at,
            exp_samples: isFiring ? [{ labels: '{}', value: 1 }] : [],
          },
        ],
      },
    ],
  })
  const passes = async (isFiring: boolean) => {
    const file = join(folder, 'test.yaml')
    writeFileSync(file, stringify(unitTest(isFiring)))
    return exec(promtool, ['test', 'rules', file]).then(
      () => true,
      () => false,
    )
  }
  const [yes, no] = [await passes(true), await passes(false)]
  if (yes === no) throw new Error(`promtool cannot tell whether ${alert} fires: the test itself is wrong`)
  return yes
}

/** A series of requests. `labels`: those that differ from an answered request from a caller in the mesh. */
function requests(labels: Record<string, string>): string {
  const all = {
    reporter: 'destination',
    destination_service: 'backend.shop.svc.cluster.local',
    destination_service_namespace: 'shop',
    destination_service_name: 'backend',
    destination_canonical_service: 'backend',
    destination_canonical_revision: 'v2',
    destination_version: 'v2',
    request_protocol: 'http',
    response_code: '200',
    response_flags: '-',
    connection_security_policy: 'mutual_tls',
    job: 'istio-proxies',
    ...labels,
  }
  return `istio_requests_total{${Object.entries(all)
    .map(([name, value]) => `${name}="${value}"`)
    .join(',')}}`
}
const failed = (labels: Record<string, string> = {}) => requests({ response_code: '500', ...labels })
const scraped = 'up{job="istio-proxies",instance="10.0.0.1:15020",namespace="shop",pod="backend-1"}'

test('promtool accepts the rules and the templates in their texts', async () => {
  const { stdout } = await exec(promtool, ['check', 'rules', join(folder, 'rules.yaml')])
  expect(stdout).toContain(`SUCCESS: ${groups.flatMap(({ rules }) => rules).length} rules found`)
})

test('an alert names the service and the share of its failures', async () => {
  const { labels, annotations } = groups
    .flatMap(({ rules }) => rules)
    .find(({ alert }) => alert === 'MeshCanaryFailing')!
  const unitTest = {
    rule_files: ['rules.yaml'],
    evaluation_interval: '15s',
    tests: [
      {
        interval: '15s',
        input_series: [
          { series: requests({}), values: '0+80x60' },
          { series: failed(), values: '0+20x60' },
        ],
        alert_rule_test: [
          {
            eval_time: '10m',
            alertname: 'MeshCanaryFailing',
            exp_alerts: [
              {
                exp_labels: {
                  ...labels,
                  destination_service_namespace: 'shop',
                  destination_service_name: 'backend',
                },
                exp_annotations: {
                  summary: 'The canary v2 of backend fails 20% of its requests',
                  description: annotations.description,
                  action: annotations.action,
                },
              },
            ],
          },
        ],
      },
    ],
  }
  const file = join(folder, 'texts.yaml')
  writeFileSync(file, stringify(unitTest))
  await exec(promtool, ['test', 'rules', file])
})

describe('MeshCanaryFailing', () => {
  const failing = (series: Series, at = '10m') => fires('MeshCanaryFailing', at, series)

  test('fires if the canary fails more than twice what its limit allows', async () => {
    expect(await failing({ [requests({})]: '0+97x60', [failed()]: '0+3x60' })).toBe(true)
  })

  test('fires if every request fails', async () => {
    expect(await failing({ [failed()]: '0+3x60' })).toBe(true)
  })

  test('fires for server errors of gRPC, which have the code 200', async () => {
    const grpc = { request_protocol: 'grpc', grpc_response_status: '14' }
    expect(await failing({ [requests({})]: '0+80x60', [requests(grpc)]: '0+20x60' })).toBe(true)
  })

  test('does not fire for failures within the limit, nor for those of stable', async () => {
    expect(await failing({ [requests({})]: '0+99x60', [failed()]: '0+1x60' })).toBe(false)
    const stable = { destination_version: 'v1' }
    expect(
      await failing({ [requests(stable)]: '0+80x60', [failed(stable)]: '0+20x60', [requests({})]: '0+10x60' }),
    ).toBe(false)
  })

  test('does not fire for callers who left, nor for gRPC statuses that are no errors of the server', async () => {
    const left = { response_code: '0', response_flags: 'DC' }
    const notFound = { request_protocol: 'grpc', grpc_response_status: '5' }
    expect(
      await failing({ [requests({})]: '0+80x60', [requests(left)]: '0+20x60', [requests(notFound)]: '0+20x60' }),
    ).toBe(false)
  })

  test('does not fire for a handful of requests', async () => {
    expect(await failing({ [failed()]: '0 1 2 3 4 5x60' }, '2m')).toBe(false)
  })

  test('stops when the canary gets no more traffic', async () => {
    const series = { [requests({})]: '0+80x20 1600x60', [failed()]: '0+20x20 400x60' }
    expect(await failing(series, '5m')).toBe(true)
    expect(await failing(series, '8m')).toBe(false)
  })
})

describe('MeshCanaryUnserved', () => {
  const unserved = (series: Series) => fires('MeshCanaryUnserved', '10m', series)
  const source = { reporter: 'source', connection_security_policy: 'unknown' }
  // Without an endpoint, the caller's sidecar knows neither the version nor the namespace.
  const lost = requests({
    ...source,
    destination_service_namespace: 'unknown',
    destination_version: 'unknown',
    response_code: '503',
    response_flags: 'UH',
  })

  test('fires if all pods of the canary are gone, which no sidecar of theirs can count', async () => {
    const series = { [requests({ ...source, destination_version: 'v1' })]: '0+90x60', [lost]: '0+10x60' }
    expect(await unserved(series)).toBe(true)
    expect(await fires('MeshCanaryFailing', '10m', series)).toBe(false)
  })

  test('does not fire for answers of the server, nor for another service or namespace', async () => {
    expect(await unserved({ [failed(source)]: '0+10x60' })).toBe(false)
    for (const host of ['frontend.shop.svc.cluster.local', 'backend.office.svc.cluster.local'])
      expect(await unserved({ [lost.replace('backend.shop.svc.cluster.local', host)]: '0+10x60' })).toBe(false)
  })

  test('does not fire within the limit, nor after calls reach the pods again', async () => {
    expect(await unserved({ [requests(source)]: '0+99x60', [lost]: '0+1x60' })).toBe(false)
    expect(await unserved({ [requests(source)]: '0+90x60', [lost]: '0+10x30 300x30' })).toBe(false)
  })
})

describe('MeshCanaryStuck', () => {
  const stuck = (series: Series, at: string) => fires('MeshCanaryStuck', at, series)
  const stable = requests({ destination_version: 'v1' })

  test('fires if both versions serve for longer than a promotion can take', async () => {
    const series = { [stable]: '0+90x200', [requests({})]: '0+10x200' }
    expect(await stuck(series, '19m')).toBe(false)
    expect(await stuck(series, '22m')).toBe(true)
  })

  test('does not fire after the canary has all traffic, or none', async () => {
    const promoted = { [stable]: '0+90x32 2880x160', [requests({})]: '0+10x200' }
    const rolledBack = { [stable]: '0+90x200', [requests({})]: '0+10x32 320x160' }
    for (const at of ['15m', '22m', '40m']) {
      expect(await stuck(promoted, at)).toBe(false)
      expect(await stuck(rolledBack, at)).toBe(false)
    }
  })
})

describe('a canary with a Service of its own', () => {
  const firesFor = (alert: string, at: string, series: Series) => fires(alert, at, series, '15s', 'services.yaml')
  /** As the sidecar of a caller reports it: the Service to which the route has sent the call. */
  const calls = (service: string, labels: Record<string, string> = {}) =>
    requests({
      reporter: 'source',
      destination_service: `${service}.shop.svc.cluster.local`,
      destination_service_name: service,
      ...labels,
    })
  /** The sidecars of the pods report the first Service that selects them, which is the one of both versions. */
  const served = { [requests({})]: '0+80x160', [failed()]: '0+20x160' }

  test('raises MeshCanaryFailing by what its callers got, whatever Service its pods report', async () => {
    const failing = { ...served, [calls('backend-next', { response_code: '500' })]: '0+20x60' }
    expect(await firesFor('MeshCanaryFailing', '10m', { ...failing, [calls('backend-next')]: '0+80x60' })).toBe(true)
    expect(await firesFor('MeshCanaryFailing', '10m', { ...served, [calls('backend-next')]: '0+80x60' })).toBe(false)
  })

  test('does not raise it for failures of stable', async () => {
    const stable = { [calls('backend-stable', { response_code: '500' })]: '0+20x60' }
    expect(await firesFor('MeshCanaryFailing', '10m', { ...stable, [calls('backend-next')]: '0+80x60' })).toBe(false)
  })

  test('raises MeshCanaryStuck if both have shared the calls for too long', async () => {
    const canary = { [calls('backend-next')]: '0+10x200' }
    expect(await firesFor('MeshCanaryStuck', '40m', { ...canary, [calls('backend-stable')]: '0+10x200' })).toBe(true)
    expect(await firesFor('MeshCanaryStuck', '40m', { ...served, ...canary })).toBe(false)
  })
})

describe('MeshSidecarDown', () => {
  const live = 'envoy_server_live{job="istio-proxies",instance="10.0.0.1:15020",namespace="shop",pod="backend-1"}'

  test('fires if a sidecar no longer answers', async () => {
    expect(await fires('MeshSidecarDown', '10m', { [scraped]: '1x20 0x40', [live]: '1x20 stale' })).toBe(true)
  })

  test('does not fire while it answers, nor for a pod that was deleted', async () => {
    expect(await fires('MeshSidecarDown', '10m', { [scraped]: '1x60', [live]: '1x60' })).toBe(false)
    expect(await fires('MeshSidecarDown', '10m', { [scraped]: '1x20 stale', [live]: '1x20 stale' })).toBe(false)
  })

  test('does not fire for a target that is no sidecar', async () => {
    const app = scraped.replaceAll('15020', '8080')
    expect(await fires('MeshSidecarDown', '10m', { [app]: '1x20 0x40', [scraped]: '1x60', [live]: '1x60' })).toBe(false)
  })
})

describe('MeshSidecarMissing', () => {
  const missing = (series: Series) => fires('MeshSidecarMissing', '15m', series)
  const source = { reporter: 'source', connection_security_policy: 'unknown' }
  const call = requests(source)
  // The caller then knows only what istiod says of the endpoint, which has no labels app and version.
  const withoutSidecar = requests({ ...source, destination_version: 'unknown', destination_app: 'unknown' })

  test('fires if a version answers, and no sidecar of it counts requests', async () => {
    const stable = requests({ destination_version: 'v1', destination_canonical_revision: 'v1' })
    expect(await missing({ [withoutSidecar]: '0+10x80', [stable]: '0+10x80' })).toBe(true)
  })

  test('does not fire if its sidecars count', async () => {
    expect(await missing({ [call]: '0+10x80', [requests({})]: '0+10x80' })).toBe(false)
  })

  test('does not fire if two Services have the same pods: their sidecars report the first of them', async () => {
    const headless = requests({ ...source, destination_service_name: 'backend-headless' })
    expect(await missing({ [headless]: '0+10x80', [requests({})]: '0+10x80' })).toBe(false)
  })

  test('does not fire for calls that got no answer, nor for those of unknown pods', async () => {
    const unanswered = requests({ ...source, response_code: '503', response_flags: 'UF' })
    const unknown = requests({ ...source, destination_canonical_service: 'unknown' })
    expect(await missing({ [unanswered]: '0+10x80', [unknown]: '0+10x80' })).toBe(false)
  })
})

describe('IstiodPushErrors', () => {
  const istiod = 'up{job="istiod",instance="10.0.0.2:15014"}'
  const errors = (name: string, values: string) =>
    fires('IstiodPushErrors', '12m', { [istiod]: '1x80', [name]: values })

  test.each([
    'pilot_xds_pushes{type="cds_senderr",job="istiod",instance="10.0.0.2:15014"}',
    'pilot_total_xds_rejects{type="lds",job="istiod",instance="10.0.0.2:15014"}',
    'pilot_total_xds_internal_errors{job="istiod",instance="10.0.0.2:15014"}',
    'pilot_xds_write_timeout{job="istiod",instance="10.0.0.2:15014"}',
  ])('fires for the first error of %s, and for one more', async (counter) => {
    expect(await errors(counter, '_x40 1x40')).toBe(true)
    expect(await errors(counter, '3x40 4x40')).toBe(true)
  })

  test('does not fire for pushes, nor for old errors', async () => {
    expect(await errors('pilot_xds_pushes{type="cds",job="istiod",instance="10.0.0.2:15014"}', '0+5x80')).toBe(false)
    expect(await errors('pilot_total_xds_rejects{type="lds",job="istiod",instance="10.0.0.2:15014"}', '3x80')).toBe(
      false,
    )
  })

  test('does not fire for old errors when Prometheus begins to scrape istiod', async () => {
    const rejects = 'pilot_total_xds_rejects{type="lds",job="istiod",instance="10.0.0.2:15014"}'
    const series = { [istiod]: '_x40 1x40', [rejects]: '_x40 3x40' }
    expect(await fires('IstiodPushErrors', '12m', series)).toBe(false)
  })
})

describe('MeshCertificateExpiring', () => {
  const left = 'istio_agent_cert_expiry_seconds{resource_name="default",namespace="shop",pod="backend-1"}'
  const expiring = (values: string, at: string) => fires('MeshCertificateExpiring', at, { [left]: values }, '4m')

  test('fires if a certificate of a day was not renewed within 18 hours', async () => {
    expect(await expiring('86400-240x359', '17h')).toBe(false)
    expect(await expiring('86400-240x359', '19h')).toBe(true)
  })

  test('does not fire if it was renewed at half of its time', async () => {
    expect(await expiring('86400-240x179 86400-240x179', '23h')).toBe(false)
  })

  test('knows shorter certificates by what they had at first', async () => {
    expect(await expiring('3600-240x14', '58m')).toBe(true)
    expect(await expiring('3600-240x7 3600-240x7', '58m')).toBe(false)
  })
})

describe('MeshAuthorityExpiring', () => {
  test.each(['citadel_server_root_cert_expiry_seconds', 'citadel_server_cert_chain_expiry_seconds'])(
    'fires if %s is less than 30 days',
    async (gauge) => {
      expect(await fires('MeshAuthorityExpiring', '70m', { [gauge]: '2500000-60x120' }, '1m')).toBe(true)
      expect(await fires('MeshAuthorityExpiring', '70m', { [gauge]: '2700000-60x120' }, '1m')).toBe(false)
    },
  )
})

describe('MeshPlaintextUnderStrict', () => {
  const plain = { connection_security_policy: 'none' }
  const accepted = (series: Series, at = '11m') =>
    fires('MeshPlaintextUnderStrict', at, { [scraped]: '1x80', ...series })

  test('fires for requests, and for connections, without mutual TLS that go on', async () => {
    expect(await accepted({ [requests(plain)]: '0+1x80' })).toBe(true)
    const connections = requests(plain).replace('istio_requests_total', 'istio_tcp_connections_opened_total')
    expect(await accepted({ [connections]: '0+1x80' })).toBe(true)
  })

  test('does not fire for the plaintext before a namespace became strict', async () => {
    // Evaluation begins with the first value, as that of a rule that has just been written does.
    const series = { [requests(plain)]: '0+5x8 40x72' }
    for (const at of ['3m', '6m', '7m', '8m', '11m']) expect(await accepted(series, at)).toBe(false)
  })

  test('does not fire for mutual TLS, for another namespace, nor for what is long past', async () => {
    expect(await accepted({ [requests({})]: '0+5x80' })).toBe(false)
    expect(await accepted({ [requests({ ...plain, destination_service_namespace: 'office' })]: '0+5x80' })).toBe(false)
    expect(await accepted({ [requests(plain)]: '_x10 1x70' })).toBe(false)
  })
})
