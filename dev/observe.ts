// What `npm start -- --observe` adds to the demonstration: metrics, dashboards, alerts, traces and access logs, and where
// to look.
import { importAddons } from '../test/mesh/index.ts'
import type { TestCluster } from '../test/e2e/world.ts'

/** The input of the action. */
export const observability = JSON.stringify({
  metrics: { prometheus: 'install' },
  dashboards: { configMaps: true },
  alerts: true,
  traces: { collector: 'install' },
  logs: { collector: 'stdout', onlyErrors: true },
})

/** The embedded mesh pulls no images. The first time they are built, which takes minutes. */
export const provideImages = (): Promise<void> => importAddons('prometheus', 'jaeger')

const prometheus = '/api/v1/namespaces/observability/services/prometheus:9090/proxy'
const jaeger = '/api/v1/namespaces/observability/services/jaeger:16686/proxy'
const query = `${prometheus}/api/v1/query?query=${encodeURIComponent(
  'sum by (destination_version, response_code) (istio_requests_total{namespace="sample-app"})',
)}`
const traces = `${jaeger}/api/traces?service=frontend.sample-app&limit=1`

type Vector = { data: { result: { metric: Record<string, string>; value: [number, string] }[] } }
type Rules = { data: { groups: { rules: { name: string; state: string }[] }[] } }
type Traces = { data: { traceID: string; spans: unknown[] }[] }

/** Lines with what arrived, and the commands that show more. `program`: what comes before `kubectl`. */
export async function whereToLook({ run }: TestCluster, program: string): Promise<string[]> {
  const ask = async <T>(path: string) => JSON.parse(await run(['kubectl', 'get', '--raw', path])) as T
  const { data } = await ask<Vector>(query)
  const rules = (await ask<Rules>(`${prometheus}/api/v1/rules`)).data.groups.flatMap((group) => group.rules)
  const firing = rules.filter(({ state }) => state === 'firing').map(({ name }) => name)
  const [trace] = (await ask<Traces>(traces)).data
  const counts = data.result.map(
    ({ metric, value }) => `${metric['destination_version']} ${metric['response_code']}: ${value[1]}`,
  )
  return [
    `Prometheus counts requests by version and status: ${counts.join(', ') || 'none yet'}`,
    `    ${program}kubectl get --raw '${query}'`,
    `Prometheus watches ${rules.length} alerts; firing: ${firing.join(', ') || 'none'}`,
    `    ${program}kubectl get --raw '${prometheus}/api/v1/alerts'`,
    'the dashboards are ConfigMaps for Grafana, which this demonstration does not run',
    `    ${program}kubectl -n observability get configmaps -l grafana_dashboard`,
    `Jaeger has the trace ${trace ? `${trace.traceID} with ${trace.spans.length} spans` : 'of no request yet'}`,
    `    ${program}kubectl get --raw '${jaeger}/api/traces${trace ? `/${trace.traceID}` : ''}'`,
    'each failed request is a line of JSON with the id of its trace in the log of the sidecar',
    `    ${program}kubectl -n sample-app logs deploy/backend -c istio-proxy --tail=5`,
  ]
}
