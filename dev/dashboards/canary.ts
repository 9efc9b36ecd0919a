// The dashboard Canary: one service while a promotion moves its traffic, by version.
import { LineInterpolation } from '@grafana/grafana-foundation-sdk/common'
import * as units from '@grafana/grafana-foundation-sdk/units'
import {
  failureRate,
  failureShare,
  latencyQuantile,
  reachedNoPod,
  requestCount,
  requestRate,
  type Selection,
  selector,
} from '../../src/observability/promql.ts'
import { chosenHosts, chosenServices, dashboard } from './frame.ts'
import { graph, stacked, stat } from './panels.ts'

const range = '$__rate_interval'
const version = ['destination_workload', 'destination_version']
const legend = '{{destination_workload}} {{destination_version}}'
const served: Selection = { reporter: 'destination', matchers: chosenServices }
const called: Selection = { reporter: 'source', matchers: chosenHosts }
/** What a run sends of its promotion itself (docs/run-telemetry.md), as Prometheus names it. */
const sent = ['k8s_namespace_name="$namespace"', 'mesh_canary_service=~"$service"']
const needsTelemetry =
  'Only with OTEL_EXPORTER_OTLP_ENDPOINT in the run, and a collector that passes metrics to Prometheus.'
/** Calls that the caller's sidecar ended before any version saw them. */
const unserved: Selection = { ...called, matchers: [...chosenHosts, reachedNoPod] }

export function canaryDashboard(): string {
  const frame = {
    uid: 'mesh-canary-canary',
    title: 'Mesh canary',
    description:
      'One service while its traffic moves to a new version: share, success and latency by version. ' +
      'Steps and verdicts of promotions are annotations.',
    severalServices: false,
  }
  return dashboard(frame, [
    { panels: overview() },
    { title: 'Traffic', panels: traffic() },
    { title: 'Success and latency by version', panels: outcome() },
    { title: 'Sent by the run', panels: sentByRun() },
  ])
}

function overview() {
  return [
    stat(
      { title: 'Requests', description: 'Requests per second to the service.', unit: units.RequestsPerSecond },
      { expr: requestRate(served, [], range), legend: 'requests' },
    ),
    stat(
      {
        title: 'Versions that serve',
        description: 'Versions with requests now. Two while a canary shares the traffic.',
        unit: units.Short,
      },
      { expr: `count(${requestRate(served, version, range)} > 0)`, legend: 'versions' },
    ),
    stat(
      {
        title: 'Failed calls',
        description: 'Share of the calls that failed for the callers, after all retries.',
        unit: units.PercentUnit,
        thresholds: [
          { value: null, color: 'green' },
          { value: 0.01, color: 'yellow' },
          { value: 0.05, color: 'red' },
        ],
      },
      { expr: failureShare(called, [], range), legend: 'failed calls' },
    ),
    stat(
      {
        title: 'Requests in the time range',
        description: 'How many requests the versions served in the time range of the dashboard.',
        unit: units.Short,
      },
      { expr: requestCount(served, [], '$__range'), legend: 'requests' },
    ),
  ]
}

function traffic() {
  const byVersion = requestRate(served, version, range)
  return [
    stacked(
      {
        title: 'Observed share',
        description:
          'Share of the requests that each version served. It follows the weight of the canary when the proxies do.',
        unit: units.PercentUnit,
        max: 1,
      },
      { expr: `${byVersion} / scalar(${requestRate(served, [], range)})`, legend },
    ),
    graph(
      { title: 'Requests', description: 'Requests per second by version.', unit: units.RequestsPerSecond },
      { expr: byVersion, legend },
    ),
  ]
}

function outcome() {
  return [
    graph(
      {
        title: 'Success rate',
        description: 'Share of the requests without a 5xx, a server error of gRPC, or a missing answer.',
        unit: units.PercentUnit,
        max: 1,
        thresholds: [
          { value: null, color: 'red' },
          { value: 0.99, color: 'green' },
        ],
      },
      { expr: `1 - ${failureShare(served, version, range)}`, legend },
    ),
    graph(
      {
        title: 'Calls that reached no version',
        description:
          "Calls per second that the callers' sidecars ended themselves, by Envoy's response flags: UH no healthy endpoint, " +
          'UF no connection, UO circuit breaker, NC no such subset, NR no route (only for calls that name the full host).',
        unit: units.RequestsPerSecond,
        noValue: 'none',
      },
      { expr: failureRate(unserved, ['response_flags'], range), legend: '{{response_flags}}' },
    ),
    graph(
      { title: 'Median duration', description: 'Half of the requests take longer.', unit: units.Milliseconds },
      { expr: latencyQuantile(0.5, served, version, range), legend },
    ),
    graph(
      { title: 'p99 duration', description: 'One of 100 requests takes longer.', unit: units.Milliseconds },
      { expr: latencyQuantile(0.99, served, version, range), legend },
    ),
  ]
}

function sentByRun() {
  return [
    graph(
      {
        title: 'Weight',
        description: `The weight of the canary that the run has set. ${needsTelemetry}`,
        unit: units.Percent,
        max: 100,
        noValue: 'no run sends metrics',
      },
      { expr: selector('mesh_canary_weight_percent', sent), legend: '{{mesh_canary_version_name}}' },
    ).lineInterpolation(LineInterpolation.StepAfter),
    graph(
      {
        title: 'Evidence',
        description: `How strong the evidence of each check is. At 100% it decides: the canary fails, or may pass. ${needsTelemetry}`,
        unit: units.PercentUnit,
        noValue: 'no run sends metrics',
      },
      {
        expr: `${selector('mesh_canary_check_evidence', sent)} / ${selector('mesh_canary_check_threshold', sent)}`,
        legend: '{{mesh_canary_check_name}}: {{mesh_canary_check_direction}}',
      },
    ),
  ]
}
