// The dashboard Services: requests, errors and duration of the services of a namespace, and what the mesh does for them.
import * as units from '@grafana/grafana-foundation-sdk/units'
import {
  clusterMetric,
  failureRate,
  failureShare,
  latencyQuantile,
  requestRate,
  type Selection,
  serviceLabel,
  shareOf,
  sumBy,
} from '../../src/observability/promql.ts'
import { chosenHosts, chosenServices, dashboard } from './frame.ts'
import { graph, stat } from './panels.ts'

const range = '$__rate_interval'
const served: Selection = { reporter: 'destination', matchers: chosenServices }
const called: Selection = { reporter: 'source', matchers: chosenHosts }
const encrypted: Selection = { ...served, matchers: [...chosenServices, 'connection_security_policy="mutual_tls"'] }
const plaintext: Selection = { ...served, matchers: [...chosenServices, 'connection_security_policy!="mutual_tls"'] }

const version = ['destination_workload', 'destination_version']
const nameOfVersion = '{{destination_workload}} {{destination_version}}'

const failureThresholds = [
  { value: null, color: 'green' },
  { value: 0.01, color: 'yellow' },
  { value: 0.05, color: 'red' },
]
const fullShareThresholds = [
  { value: null, color: 'red' },
  { value: 0.999, color: 'green' },
]

export function servicesDashboard(): string {
  const frame = {
    uid: 'mesh-canary-services',
    title: 'Mesh services',
    description: 'Requests, errors and duration of the services in the mesh, by service, version and caller.',
    severalServices: true,
  }
  return dashboard(frame, [
    { panels: overview() },
    ...groups.map(({ title, ...group }) => ({ title, panels: redPanels(group) })),
    { title: 'Resilience and mutual TLS', panels: resilience() },
  ])
}

type Group = { by: string[]; selection: Selection; legend: string; where: string }

const groups: (Group & { title: string })[] = [
  {
    title: 'By service',
    by: [serviceLabel],
    selection: served,
    legend: `{{${serviceLabel}}}`,
    where: 'As the sidecars of the servers count it: every try counts.',
  },
  {
    title: 'By version',
    by: version,
    selection: served,
    legend: nameOfVersion,
    where: 'By workload and its label version, as the sidecars of the servers count it.',
  },
  {
    title: 'By caller',
    by: ['source_workload', serviceLabel],
    selection: called,
    legend: `{{source_workload}} → {{${serviceLabel}}}`,
    where:
      'As the sidecars of the callers count it: a call counts once, after all retries, also if it reached no server.',
  },
]

function overview() {
  return [
    stat(
      { title: 'Requests', description: 'Requests per second to the chosen services.', unit: units.RequestsPerSecond },
      { expr: requestRate(served, [], range), legend: 'requests' },
    ),
    stat(
      {
        title: 'Failures',
        description: 'Share of the requests with a 5xx, a server error of gRPC, or no answer.',
        unit: units.PercentUnit,
        thresholds: failureThresholds,
      },
      { expr: failureShare(served, [], range), legend: 'failures' },
    ),
    stat(
      { title: 'p99', description: '99 of 100 requests are answered within this time.', unit: units.Milliseconds },
      { expr: latencyQuantile(0.99, served, [], range), legend: 'p99' },
    ),
    stat(
      {
        title: 'Mutual TLS',
        description: 'Share of the requests that came encrypted, from a caller with an identity.',
        unit: units.PercentUnit,
        thresholds: fullShareThresholds,
      },
      { expr: shareOf(requestRate(encrypted, [], range), requestRate(served, [], range)), legend: 'mutual TLS' },
    ),
  ]
}

/** Rate, errors and duration of one group of requests. */
function redPanels({ selection, by, legend, where }: Group) {
  return [
    graph(
      { title: 'Requests', description: `Requests per second. ${where}`, unit: units.RequestsPerSecond },
      { expr: requestRate(selection, by, range), legend },
    ),
    graph(
      {
        title: 'Failures',
        description: `Share of the requests with a 5xx, a server error of gRPC, or no answer. ${where}`,
        unit: units.PercentUnit,
        thresholds: failureThresholds,
      },
      { expr: failureShare(selection, by, range), legend },
    ),
    graph(
      { title: 'Median duration', description: `Half of the requests take longer. ${where}`, unit: units.Milliseconds },
      { expr: latencyQuantile(0.5, selection, by, range), legend },
    ),
    graph(
      { title: 'p99 duration', description: `One of 100 requests takes longer. ${where}`, unit: units.Milliseconds },
      { expr: latencyQuantile(0.99, selection, by, range), legend },
    ),
  ]
}

const needsStats =
  'Sidecars publish this only with proxyStatsMatcher in the mesh config, which the section observability sets. Pods get it when they restart.'

function resilience() {
  const byService = [serviceLabel]
  const legend = `{{${serviceLabel}}}`
  return [
    graph(
      {
        title: 'Retries',
        description: `Tries per second that the callers' sidecars repeated. ${needsStats}`,
        unit: units.RequestsPerSecond,
        noValue: 'no retries published',
      },
      {
        expr: sumBy(byService, clusterMetric('envoy_cluster_upstream_rq_retry', '$namespace', '$service', range)),
        legend,
      },
    ),
    graph(
      {
        title: 'Ejected endpoints',
        description: `Pods that outlier detection has taken out, added up over all callers. ${needsStats}`,
        unit: units.Short,
        noValue: 'no ejections published',
      },
      {
        expr: sumBy(
          byService,
          clusterMetric('envoy_cluster_outlier_detection_ejections_active', '$namespace', '$service'),
        ),
        legend,
      },
    ),
    graph(
      {
        title: 'Failed calls by reason',
        description:
          "Calls per second that failed, by Envoy's response flags: UH no healthy endpoint, UF no connection, UO circuit breaker, " +
          'UT timeout, URX all retries failed, NR no route; - is an answer of the server.',
        unit: units.RequestsPerSecond,
        noValue: 'none',
      },
      { expr: failureRate(called, ['response_flags'], range), legend: '{{response_flags}}' },
    ),
    graph(
      {
        title: 'Mutual TLS',
        description: 'Share of the requests that came encrypted, from a caller with an identity.',
        unit: units.PercentUnit,
        max: 1,
      },
      { expr: shareOf(requestRate(encrypted, byService, range), requestRate(served, byService, range)), legend },
    ),
    graph(
      {
        title: 'Plaintext requests',
        description: 'Requests per second that came without mutual TLS. With mtls: strict there are none.',
        unit: units.RequestsPerSecond,
        noValue: 'none',
      },
      { expr: requestRate(plaintext, byService, range), legend },
    ),
  ]
}
