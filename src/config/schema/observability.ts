// The section `observability`: where metrics, traces and logs go, and what is installed for them.
import * as z from 'zod'
import { duration, responseTime } from '../values/durations.ts'
import { dnsName, objectName } from '../values/kubernetes.ts'
import { listOf } from '../values/lists.ts'
import { percentage } from '../values/numbers.ts'
import { parsedValue } from '../values/parsed-value.ts'
import { publicValue } from '../values/public-value.ts'
import { withShortForm } from '../values/short-form.ts'
import { boolean, filePath, nonEmptyString, oneOf, isPlainUrl, pathPrefix, plainUrl, url } from '../values/strings.ts'
import { hasExactlyOne, isServicePort, nameOf, serviceAddress } from './parts.ts'

const serverKeys = ['install', 'operator', 'address', 'service'] as const

const operator = parsedValue<true | string>(
  'true, or a Prometheus object as namespace/name, such as monitoring/main',
  { type: ['boolean', 'string'], ...publicValue },
  (raw) => {
    if (raw === true || raw === 'true') return true
    return typeof raw === 'string' && /^[-a-z0-9]+\/[-.a-z0-9]+$/.test(raw) ? raw : undefined
  },
)

const server = z
  .strictObject({
    install: boolean
      .optional()
      .describe(
        'Installs a small Prometheus that keeps a day at most, and only until it restarts, for previews. It scrapes istiod, and the ' +
          'sidecars and gateways of this namespace, of `istio-system` and of `canary.clients`.',
      ),
    operator: operator
      .optional()
      .describe(
        'Writes PodMonitors, a ServiceMonitor and rules for the Prometheus Operator, with the labels that its ' +
          'Prometheus selects. If there are several, name one as `namespace/name`.',
      ),
    address: plainUrl.optional().describe('Address of a Prometheus that scrapes the mesh already.'),
    service: serviceAddress('istio-system/prometheus:9090')
      .optional()
      .describe('The same as `namespace/name:port` of a Service, reached through the API server.'),
    token: nonEmptyString.optional().describe('Bearer token for `address`.'),
    timeout: responseTime.prefault('10s').describe('Time limit for a response.'),
  })
  .refine((value) => hasExactlyOne(Object.fromEntries(serverKeys.map((key) => [key, value[key]]))), {
    error: `expected exactly one of ${serverKeys.join(', ')}`,
  })
  .refine(({ install }) => install !== false, { error: 'expected install: true, or another key instead of it' })
  .refine(({ token, address }) => token === undefined || address !== undefined, {
    error: 'expected `address` beside `token`: through the API server, the kubeconfig has the rights',
  })

const metrics = z.strictObject({
  prometheus: withShortForm(server, oneOf('install', 'operator'), (word) => server.parse({ [word]: true })).describe(
    'Prometheus of the mesh: `install`, `operator`, or an existing server. `install` is short for `{ install: true }`.',
  ),
})

const grafana = z.strictObject({
  url: plainUrl.describe('Address of Grafana.'),
  token: nonEmptyString.describe('Token of a service account that may write dashboards and annotations.'),
  folder: nonEmptyString
    .optional()
    .describe('UID or title of the folder for the dashboards. Default: the root folder.'),
})

const configMaps = z.strictObject({
  enabled: boolean.prefault(true).describe('`configMaps: true` is short for `{ enabled: true }`.'),
  namespace: objectName.optional().describe('Namespace of the ConfigMaps. Default: `observability.namespace`.'),
})

const dashboards = z.strictObject({
  configMaps: withShortForm(configMaps, boolean, (enabled) => ({ enabled }))
    .optional()
    .describe("ConfigMaps with the label that Grafana's sidecar looks for (`grafana_dashboard`)."),
  grafana: grafana
    .optional()
    .describe("Writes the dashboards through Grafana's HTTP API, and an annotation at each step of a promotion."),
  files: filePath.optional().describe('Folder on the runner for the dashboards as JSON files. It must exist.'),
})

/** The rules set these themselves. */
const ownAlertLabels = ['alertname', 'severity', 'canary']

const alertLabelName = z
  .string()
  .regex(/^(?!__)[A-Za-z_][A-Za-z0-9_]*$/, { error: 'expected letters, digits and underscores, such as team' })
  .refine((name) => !ownAlertLabels.includes(name), {
    error: `expected another name than ${ownAlertLabels.join(', ')}, which each alert has already`,
  })

/** Prometheus would read `{{` as a template, and drops a label without a value. */
const alertLabelValue = z
  .string({ error: 'expected a label value as a string; quote it in YAML' })
  .refine((value) => value !== '' && !value.includes('{{'), { error: 'expected a text without {{' })
  .meta(publicValue)

const alerts = z.strictObject({
  enabled: boolean.prefault(true).describe('`alerts: true` is short for `{ enabled: true }`.'),
  file: filePath.optional().describe('Also writes the rules to this file on the runner.'),
  alertmanager: serviceAddress('monitoring/alertmanager:9093')
    .optional()
    .describe('Alertmanager that an installed Prometheus sends its alerts to.'),
  labels: z
    .record(alertLabelName, alertLabelValue)
    .prefault({})
    .describe('More labels for each alert, by which Alertmanager routes it.'),
})

/** `install`, or a Service that takes OTLP over gRPC. */
function collector(...words: string[]) {
  return parsedValue(
    `${words.join(', ')}, or a Service as namespace/name:port, such as monitoring/otel-collector:4317`,
    { type: 'string', ...publicValue },
    (raw) => (typeof raw === 'string' && (words.includes(raw) || isServicePort(raw)) ? raw : undefined),
  )
}

/** Where a run asks for what has arrived. */
function queryAddress(program: string, example: string) {
  return parsedValue(
    `the address of ${program}: a Service as namespace/name:port, such as ${example}, or an http or https address ` +
      'without user name, password, query and fragment; ports go from 1 to 65535',
    { type: 'string', ...publicValue },
    (raw) => (typeof raw === 'string' && (isServicePort(raw) || isAddress(raw)) ? raw.replace(/\/+$/, '') : undefined),
  )
}

function isAddress(raw: string): boolean {
  return /^https?:\/\//.test(raw) && URL.canParse(raw) && isPlainUrl(raw)
}

const traces = z.strictObject({
  collector: collector('install').describe(
    'Service that takes OTLP over gRPC, or `install` for a Jaeger that keeps traces in memory, for previews.',
  ),
  query: queryAddress("Jaeger's query API", 'monitoring/jaeger-query:16686')
    .optional()
    .describe(
      'Where the stage `verify` looks for a trace: the query API of Jaeger, as a Service or an address. Default: the ' +
        'installed Jaeger; with another collector, no trace can be proved to arrive without it.',
    ),
  sampling: percentage('from 0%')
    .optional()
    .describe('Share of the requests to trace. Default: `100%` with `install`, otherwise `1%` as in Istio.'),
  provider: objectName.prefault('mesh-canary-traces').describe('Name of the extension provider in the mesh config.'),
})

const logs = z.strictObject({
  collector: collector('stdout', 'install').describe(
    'Where access logs go: `stdout` of the sidecars as JSON, a Service that takes OTLP over gRPC, or `install` for the ' +
      'installed Jaeger, which passes them on to `endpoint`.',
  ),
  endpoint: url.optional().describe('With `install`: the address that takes the logs as OTLP over HTTP.'),
  query: queryAddress("VictoriaLogs' query API", 'monitoring/victoria-logs:9428')
    .optional()
    .describe(
      'Where the stage `verify` looks for a log line, unless it goes to `stdout`: the query API of VictoriaLogs ' +
        '(LogsQL), as a Service or an address.',
    ),
  onlyErrors: boolean.prefault(false).describe('Logs only requests that end with an error.'),
  provider: objectName.prefault('mesh-canary-logs').describe('Name of the extension provider in the mesh config.'),
})

const proofSection = z.strictObject({
  enabled: boolean.prefault(true).describe('`false`: sends no request. `proof: off` is short for it.'),
  service: nameOf('a service')
    .optional()
    .describe('Service that gets the request. Default: one that is exposed, or that calls others.'),
  path: pathPrefix.prefault('/').describe('Path of the request.'),
  through: listOf('names of services', (item) => (typeof item === 'string' && dnsName.test(item) ? item : undefined), {
    ...publicValue,
  })
    .optional()
    .describe(
      'Services of the namespace that the request reaches behind the first one. Default: those that the sidecars see ' +
        'called while it runs.',
    ),
  timeout: duration.prefault('2m').describe('Time limit for the request to show in metrics, traces and logs.'),
})

const proof = withShortForm(proofSection, oneOf('off'), () => proofSection.parse({ enabled: false }))

export const observability = z.strictObject({
  namespace: objectName
    .prefault('observability')
    .describe('Namespace of what is installed. It is created if it does not exist.'),
  metrics: metrics.optional().describe('Metrics of the mesh.'),
  dashboards: dashboards.optional().describe('Grafana dashboards for the services and for promotions.'),
  alerts: withShortForm(alerts, boolean, (enabled) => ({ enabled, labels: {} }))
    .optional()
    .describe('Alert rules for the mesh and for promotions.'),
  traces: traces.optional().describe('Traces of the requests.'),
  logs: logs.optional().describe('Access logs with the ids of the traces.'),
  proof: proof
    .prefault({})
    .describe(
      'The stage `verify` sends a request through the application, and shows that its metric, trace and log line arrive.',
    ),
})
