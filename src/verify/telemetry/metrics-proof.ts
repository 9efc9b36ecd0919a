// Proves that the request's series arrive in Prometheus: it has the counters of the pod's sidecar, at least as high as the
// sidecar had counted with the request.
import type { Cluster } from '../../cluster/client.ts'
import type { Pod } from '../../cluster/objects.ts'
import { prometheusServer, type PrometheusServer } from '../../config/observability.ts'
import type { Config } from '../../config/schema.ts'
import { labelsOf, type Reading } from '../../envoy/counters.ts'
import { choosePrometheus } from '../../observability/metrics/operator.ts'
import { mayBeOfNamespace, podNameIn } from '../../observability/metrics/series-labels.ts'
import { prometheusClient, type PromSample } from '../../observability/metrics/prometheus-client.ts'
import { messageOf } from '../../runtime/errors.ts'
import { istioMetricNames } from '../proxy-counters.ts'
import { metricsCause } from './metrics-cause.ts'
import { grown, reportedBy } from './sidecar-requests.ts'
import { unseenRequest } from './unseen-request.ts'
import type { Application, Finding, Proof, ProofDeps, SentRequest } from './types.ts'

export function metricsProof(deps: ProofDeps, app: Application): Proof {
  let failure: string | undefined
  const countedBySidecar = (requests: readonly SentRequest[]) => requests.filter((each) => seriesOf(each).size > 0)
  const findArrival = async (requests: readonly SentRequest[]): Promise<Finding | undefined> => {
    failure = undefined
    try {
      const prometheus = prometheusClient(deps.cluster, await serverOf(deps.cluster, deps.config))
      for (const request of countedBySidecar(requests)) {
        const finding = await foundInPrometheus(prometheus, request, app)
        if (finding) return finding
      }
    } catch (error) {
      failure = messageOf(error)
    }
    return undefined
  }
  const explainAbsence = async (requests: readonly SentRequest[]): Promise<Finding> => {
    const request = countedBySidecar(requests).at(-1)
    if (failure !== undefined) return { ok: false, text: failure }
    if (!request) return whyNotCounted(requests.at(-1)!, app)
    const server = await serverOf(deps.cluster, deps.config)
    const text = await metricsCause(deps, server, podOf(request, app), [...seriesOf(request).keys()][0]!).catch(
      messageOf,
    )
    return { ok: false, text }
  }
  return { what: 'metrics', findArrival, explainAbsence }
}

function podOf({ pod }: SentRequest, { entry, pods }: Application) {
  return pods.find(({ metadata }) => metadata.name === pod) ?? entry.pod
}

/** The series of the pod's sidecar that grew with the request; those with its status, if there are any. */
export function seriesOf({ way, status, pod, before, after }: SentRequest): Reading {
  const all = reportedBy(
    way === 'past-sidecar' ? 'source' : 'destination',
    grown(before, after, pod) ?? new Map<string, number>(),
  )
  const sameStatus = new Map([...all].filter(([series]) => labelsOf(series)['response_code'] === String(status)))
  return sameStatus.size > 0 ? sameStatus : all
}

async function foundInPrometheus(
  prometheus: (promql: string) => Promise<PromSample[]>,
  request: SentRequest,
  app: Application,
): Promise<Finding | undefined> {
  const pod = podOf(request, app)
  const expected = [...seriesOf(request)]
  // A series as the sidecar writes it is a selector of PromQL.
  const answers = await Promise.all(expected.map(([series]) => prometheus(series)))
  // Two jobs may scrape the pod; the one that is behind decides.
  const values = answers.map((samples) => Math.min(...samplesOf(pod, samples).map(({ value }) => value)))
  if (values.some((value, i) => !Number.isFinite(value) || value < expected[i]![1])) return undefined
  return {
    ok: true,
    text: `${istioMetricNames.requests} of ${pod.metadata.name} is in Prometheus, with the request (${values.join(', ')})`,
  }
}

/** Those that name the pod; without a name, those of its address. */
function samplesOf({ metadata, status }: Pod, samples: readonly PromSample[]): PromSample[] {
  const isAtAddress = ({ labels }: PromSample) =>
    status?.podIP !== undefined && hostOf(labels['instance'] ?? '') === status.podIP
  const own = samples.filter((sample) => {
    const name = podNameIn(sample.labels)
    if (name === undefined) return isAtAddress(sample)
    return name === metadata.name && mayBeOfNamespace(sample.labels, metadata.namespace)
  })
  // A Prometheus of several clusters may know pods of the same name, of which the address tells this one.
  const isShared = new Set(own.map(({ labels }) => labels['cluster'])).size > 1
  return isShared && own.some(isAtAddress) ? own.filter(isAtAddress) : own
}

/** The address without its port; an IPv6 address has brackets in front of it. */
function hostOf(instance: string): string {
  return instance.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
}

function whyNotCounted(request: SentRequest, app: Application): Finding {
  const { status, pod, before, after } = request
  const unseen = unseenRequest(request, app)
  if (unseen) return unseen
  if (!before.has(pod) || !after.has(pod))
    return {
      text:
        `the counters of the sidecar of ${pod} could not be read at its port 15090, so it is not known what Prometheus ` +
        'must have; run the stage again',
    }
  return {
    ok: false,
    text:
      `no sidecar of ${app.entry.service} counted the request, which was answered with ${status}; check that no Telemetry ` +
      'disables metrics, and that the proxies publish istio_requests_total',
  }
}

/** @throws Error if it cannot be told which Prometheus it is. */
async function serverOf(cluster: Cluster, config: Config): Promise<PrometheusServer> {
  const observability = config.observability!
  const server = prometheusServer(observability)
  if (server) return server
  const chosen = await choosePrometheus(cluster, config)
  if (typeof chosen === 'string') throw new Error(chosen)
  const { timeout } = observability.metrics!.prometheus
  return { service: `${chosen.metadata.namespace}/prometheus-operated:9090`, timeout }
}
