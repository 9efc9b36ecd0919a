// The alerts about the mesh: its sidecars, its control plane, its certificates, and its mutual TLS. Pure.
import type { Config } from '../../config/schema.ts'
import {
  increaseWithNewSeries,
  namespaceLabel,
  canonicalLabels,
  requestRate,
  selector,
  serviceLabel,
} from '../promql.ts'
import type { AlertRule, Alerts } from './rule.ts'

const daySeconds = 86_400

/** The rules for the sidecars of the config's namespace and for the control plane. */
export function meshAlerts({ namespace, mtls }: Pick<Config, 'namespace' | 'mtls'>): Alerts {
  const strict = mtls?.mode === 'strict' ? plaintext(namespace, mtls) : { rules: [], unwatched: [] }
  return {
    rules: [
      sidecarDown(namespace),
      sidecarMissing(namespace),
      pushErrors(),
      certificateExpiring(namespace),
      authorityExpiring(),
      ...strict.rules,
    ],
    unwatched: strict.unwatched,
  }
}

/** A deleted pod is no target any more, so its `up` has no value either. */
function sidecarDown(namespace: string): AlertRule {
  const was = `count_over_time(${selector('envoy_server_live', [`namespace="${namespace}"`])}[1h])`
  return {
    alert: 'MeshSidecarDown',
    expr: `${selector('up', [`namespace="${namespace}"`])} == 0 and on (job, instance) ${was}`,
    for: '2m',
    labels: { severity: 'critical' },
    annotations: {
      summary: 'The sidecar of {{ $labels.namespace }}/{{ $labels.pod }} does not answer',
      description: 'Prometheus has reached this sidecar within the last hour, and has not for 2 minutes.',
      action:
        'Run `kubectl -n {{ $labels.namespace }} describe pod {{ $labels.pod }}` and read the log of the container istio-proxy.',
    },
  }
}

/**
 * Only requests that were answered: one that failed may have reached no sidecar. The called Service is left out: a
 * sidecar reports the first Service of its pods, and a caller the one that it has called.
 */
function sidecarMissing(namespace: string): AlertRule {
  const by = [namespaceLabel, ...canonicalLabels]
  const [name, revision] = canonicalLabels
  const inNamespace = `${namespaceLabel}="${namespace}"`
  const calls = requestRate(
    {
      reporter: 'source',
      matchers: [inNamespace, `${name}!="unknown"`, `${revision}!="unknown"`, 'response_flags="-"'],
    },
    by,
    '5m',
  )
  const served = requestRate({ reporter: 'destination', matchers: [inNamespace] }, by, '5m')
  return {
    alert: 'MeshSidecarMissing',
    expr: `${calls} > 0 unless ${served} > 0`,
    for: '5m',
    labels: { severity: 'critical' },
    annotations: {
      summary: `Pods of {{ $labels.${name} }} ({{ $labels.${revision} }}) answer requests that no sidecar of theirs counts`,
      description:
        'Callers get answers from this version, and no sidecar of the version reports requests. Its pods run without ' +
        'a sidecar, or Prometheus does not scrape it.',
      action:
        'Compare `kubectl get pods` (each must have the container istio-proxy) with the targets of Prometheus, then run the stage `inject`.',
    },
  }
}

function pushErrors(): AlertRule {
  const kinds = [
    selector('pilot_xds_pushes', ['type=~".+_(builderr|senderr)"']),
    'pilot_total_xds_rejects',
    'pilot_total_xds_internal_errors',
    'pilot_xds_write_timeout',
  ]
  return {
    alert: 'IstiodPushErrors',
    expr: kinds.map((counter) => increaseWithNewSeries(counter, ['type'], '5m')).join(' or '),
    for: '1m',
    labels: { severity: 'critical' },
    annotations: {
      summary: 'Proxies do not take the configuration of istiod',
      description:
        'In the last 5 minutes, istiod could not build or send a configuration, or a proxy has rejected one. ' +
        'Those proxies go on with their last configuration.',
      action:
        'Run `istioctl proxy-status` and `istioctl analyze --all-namespaces`, and read the log of istiod for `rejected`.',
    },
  }
}

/** Sidecars get a new certificate when half of its time is left, whatever that time is. */
function certificateExpiring(namespace: string): AlertRule {
  const left = selector('istio_agent_cert_expiry_seconds', [`namespace="${namespace}"`, 'resource_name="default"'])
  return {
    alert: 'MeshCertificateExpiring',
    expr: `${left} < 0.25 * max_over_time(${left}[1d])`,
    for: '5m',
    labels: { severity: 'critical' },
    annotations: {
      summary:
        'The certificate of {{ $labels.namespace }}/{{ $labels.pod }} expires in {{ $value | humanizeDuration }}',
      description:
        'Less than a quarter of its time is left. The sidecar should have renewed it at half of its time, and cannot.',
      action:
        'Read the log of its container istio-proxy for `failed to sign`, and check that the pod reaches istiod on port 15012.',
    },
  }
}

function authorityExpiring(): AlertRule {
  const limit = 30 * daySeconds
  return {
    alert: 'MeshAuthorityExpiring',
    expr: ['citadel_server_root_cert_expiry_seconds', 'citadel_server_cert_chain_expiry_seconds']
      .map((gauge) => `${gauge} < ${limit}`)
      .join(' or '),
    for: '1h',
    labels: { severity: 'critical' },
    annotations: {
      summary: 'The CA certificate of istiod expires in {{ $value | humanizeDuration }}',
      description: 'When it expires, no sidecar accepts another one, and all calls in the mesh fail.',
      action: 'Rotate the CA: https://istio.io/latest/docs/tasks/security/cert-management/plugin-ca-cert/',
    },
  }
}

type Mtls = NonNullable<Config['mtls']>

/** Exceptions of `mtls` may get plaintext. Istio's metrics know the pods of an exception by their label `app` only. */
function plaintext(namespace: string, { workloads }: Mtls): Alerts {
  const exceptions = Object.entries(workloads).filter(
    ([, { mode = 'strict', ports }]) => mode !== 'strict' || Object.values(ports).some((each) => each !== 'strict'),
  )
  const unnamed = exceptions.filter(([, { selector }]) => selector['app'] === undefined).map(([name]) => name)
  if (unnamed.length > 0)
    return {
      rules: [],
      unwatched: [
        `there is no alert for plaintext in ${namespace}: the exception ${unnamed.join(', ')} of \`mtls\` selects pods ` +
          'by other labels than app, and Istio’s metrics show no others',
      ],
    }
  const apps = exceptions.map(([, { selector }]) => selector['app']!.replaceAll('.', '[.]'))
  const matchers = [
    'reporter="destination"',
    `${namespaceLabel}="${namespace}"`,
    'connection_security_policy="none"',
    ...(apps.length > 0 ? [`destination_app!~"${apps.join('|')}"`] : []),
  ]
  const counters = ['istio_requests_total', 'istio_tcp_connections_opened_total']
  const by = [namespaceLabel, serviceLabel]
  return {
    rules: [
      plaintextRule(counters.map((each) => increaseWithNewSeries(selector(each, matchers), by, '5m')).join(' or ')),
    ],
    unwatched: [],
  }
}

/** It must hold for longer than its range: when a namespace becomes strict, the range still has the plaintext before. */
function plaintextRule(expr: string): AlertRule {
  return {
    alert: 'MeshPlaintextUnderStrict',
    expr,
    for: '6m',
    labels: { severity: 'critical' },
    annotations: {
      summary: `{{ $labels.${serviceLabel} }} accepts plaintext, and the config says \`mtls: strict\``,
      description:
        `For more than 5 minutes, {{ $labels.${serviceLabel} }} in {{ $labels.${namespaceLabel} }} has served requests or ` +
        'connections without mutual TLS: the policy has been changed or another one overrides it.',
      action:
        'Run `kubectl get peerauthentication --all-namespaces`, then the stages `policies` and `verify` to restore and check it.',
    },
  }
}
