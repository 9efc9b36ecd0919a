// The counterparts of Flagger's fields.
import type { Row, Table } from '../table.ts'

const yourRoutes = 'write it into a VirtualService of your own; a promotion changes only the weights in it'
const theService = 'the Service has it, and stays as it is'
const otherMesh = 'mesh-canary moves traffic in Istio only'

const canary: Omit<Row, 'kind'>[] = [
  { field: 'metadata.name', key: 'canary.service', says: 'if it is the name of the Service' },
  { field: 'metadata.namespace', key: 'namespace', says: '' },
  { field: 'spec.provider', key: 'canary', says: 'only `istio`' },
  {
    field: 'spec.metricsServer',
    key: 'canary.prometheus',
    says: 'of a metric with `query`; the checks of requests read the sidecars',
  },
  {
    field: 'spec.targetRef',
    key: 'canary.image',
    says: 'the Deployment behind the Service, which keeps its name; the pipeline passes the image',
  },
  { field: 'spec.autoscalerRef', says: 'the run gives the canary an autoscaler like that of the Deployment' },
  {
    field: 'spec.autoscalerRef.primaryScalerReplicas',
    says: 'there is no primary: the autoscaler of the Deployment counts, and a run raises its `minReplicas` meanwhile',
  },
  {
    field: 'spec.autoscalerRef.primaryScalerQueries',
    says: 'there is no primary: the scaler of the Deployment counts',
  },
  { field: 'spec.ingressRef', says: otherMesh },
  { field: 'spec.routeRef', says: otherMesh },
  { field: 'spec.upstreamRef', says: otherMesh },
  { field: 'spec.progressDeadlineSeconds', key: 'canary.progressDeadline', says: '' },
  { field: 'spec.skipAnalysis', says: 'to change the weights without an analysis, use `services.<name>.traffic`' },
  { field: 'spec.revertOnDeletion', says: 'nothing stays in the cluster that could be deleted' },
  { field: 'spec.suspend', says: 'nothing starts by itself: run no job' },
  { field: 'spec.service.name', key: 'canary.service', says: '' },
  { field: 'spec.service.port', key: 'services.<name>.port', says: '' },
  { field: 'spec.service.portName', says: theService },
  { field: 'spec.service.targetPort', says: theService },
  { field: 'spec.service.appProtocol', says: theService },
  { field: 'spec.service.portDiscovery', says: theService },
  { field: 'spec.service.timeout', key: 'services.<name>.timeout', says: '' },
  {
    field: 'spec.service.retries',
    key: 'services.<name>.retries',
    says: 'only `attempts`, `perTryTimeout` and `retryOn`',
  },
  {
    field: 'spec.service.trafficPolicy.loadBalancer',
    key: 'services.<name>.loadBalancer',
    says: 'only `simple`, and the key of `consistentHash`',
  },
  {
    field: 'spec.service.trafficPolicy.connectionPool',
    key: 'services.<name>.circuitBreaker',
    says: 'only `http1MaxPendingRequests` and `maxRequestsPerConnection`',
  },
  {
    field: 'spec.service.trafficPolicy.outlierDetection',
    key: 'services.<name>.circuitBreaker',
    says: 'only `consecutive5xxErrors`, `interval`, `baseEjectionTime` and `maxEjectionPercent`',
  },
  { field: 'spec.service.trafficPolicy', says: 'write it into a DestinationRule of your own' },
  {
    field: 'spec.service.trafficPolicy.tls',
    says: 'Istio encrypts by itself; anything else belongs into your own DestinationRule',
  },
  {
    field: 'spec.service.gateways',
    says: 'callers in the mesh need none; for others use `expose`, or a VirtualService of your own',
  },
  { field: 'spec.service.gatewayRefs', says: 'use `expose` with `api: gateway-api`' },
  { field: 'spec.service.hosts', says: 'use `expose`, or a VirtualService of your own' },
  { field: 'spec.service.delegation', says: 'the run finds a delegate by itself and moves its weights' },
  { field: 'spec.service.match', says: yourRoutes },
  { field: 'spec.service.rewrite', says: yourRoutes },
  { field: 'spec.service.headers', says: yourRoutes },
  { field: 'spec.service.corsPolicy', says: yourRoutes },
  { field: 'spec.service.mirror', says: yourRoutes },
  { field: 'spec.service.meshName', says: otherMesh },
  { field: 'spec.service.backends', says: otherMesh },
  { field: 'spec.service.apex', says: 'mesh-canary makes no Service that could have labels and annotations' },
  { field: 'spec.service.primary', says: 'there is no primary' },
  { field: 'spec.service.canary', says: 'the canary has the labels and annotations of the Deployment' },
  {
    field: 'spec.analysis.interval',
    key: 'canary.interval',
    says: 'how long a step lasts; it is sampled every `pollInterval` (1 s)',
  },
  {
    field: 'spec.analysis.stepWeight',
    key: 'canary.steps',
    says: '`{ by: 10, to: 50 }`; after 50 comes 100, as with Flagger',
  },
  { field: 'spec.analysis.maxWeight', key: 'canary.steps', says: '' },
  { field: 'spec.analysis.stepWeights', key: 'canary.steps', says: 'with 100 at the end' },
  {
    field: 'spec.analysis.stepWeightPromotion',
    says: 'stable gets all traffic back in one write, when its pods are ready',
  },
  {
    field: 'spec.analysis.threshold',
    key: 'canary.checks.queries.<name>.failures',
    says:
      'of each query and each `rollout` webhook. Flagger counts all failed checks together; here they are failures of one ' +
      'check in a row. The checks of requests have `falseRollback` instead: the chance of a wrong rollback',
  },
  { field: 'spec.analysis.iterations', key: 'canary.ab.intervals', says: 'with `match`' },
  { field: 'spec.analysis.match', key: 'canary.ab.match', says: 'then `steps: [100]`' },
  { field: 'spec.analysis.mirror', key: 'canary.mirror', says: '' },
  { field: 'spec.analysis.mirrorWeight', key: 'canary.mirror.percent', says: '' },
  {
    field: 'spec.analysis.sessionAffinity',
    says: 'requests of one user may reach both versions while a canary has weight',
  },
  { field: 'spec.analysis.primaryReadyThreshold', says: 'all pods of the Deployment have to be ready' },
  { field: 'spec.analysis.canaryReadyThreshold', says: 'all pods of the canary have to be ready' },
  {
    field: 'spec.analysis.alerts',
    says: 'the pipeline knows the verdict; a webhook of the type `event` gets every change',
  },
  {
    field: 'spec.analysis.metrics[].name',
    key: 'canary.checks',
    says: '`request-success-rate`, `request-duration`, or the name of a query',
  },
  {
    field: 'spec.analysis.metrics[].interval',
    key: 'canary.checks.queries.<name>.query',
    says: 'only in a query; the checks of requests count every response, with no window',
  },
  {
    field: 'spec.analysis.metrics[].thresholdRange.min',
    key: 'canary.checks.successRate',
    says: 'of `request-success-rate`; of a query `min`',
  },
  {
    field: 'spec.analysis.metrics[].thresholdRange.max',
    key: 'canary.checks.p99',
    says: 'of `request-duration`; of a query `max`',
  },
  {
    field: 'spec.analysis.metrics[].threshold',
    key: 'canary.checks.queries.<name>.max',
    says: 'the old form of `thresholdRange`',
  },
  {
    field: 'spec.analysis.metrics[].query',
    key: 'canary.checks.queries.<name>.query',
    says: 'the old form of `templateRef`',
  },
  {
    field: 'spec.analysis.metrics[].templateRef',
    key: 'canary.checks.queries.<name>',
    says: 'the query of that MetricTemplate',
  },
  {
    field: 'spec.analysis.metrics[].templateVariables',
    key: 'canary.checks.queries.<name>.query',
    says: 'their values are written into the query',
  },
  { field: 'spec.analysis.webhooks[].name', key: 'canary.webhooks.<name>', says: '' },
  {
    field: 'spec.analysis.webhooks[].type',
    key: 'canary.webhooks.<name>.type',
    says: 'all but `confirm-traffic-increase`',
  },
  {
    field: 'spec.analysis.webhooks[].url',
    key: 'canary.webhooks.<name>.url',
    says: 'the runner calls it, and has to reach it',
  },
  { field: 'spec.analysis.webhooks[].timeout', key: 'canary.webhooks.<name>.timeout', says: '' },
  { field: 'spec.analysis.webhooks[].retries', key: 'canary.webhooks.<name>.retries', says: '' },
  { field: 'spec.analysis.webhooks[].metadata', key: 'canary.webhooks.<name>.metadata', says: '' },
  { field: 'spec.analysis.webhooks[].muteAlert', says: 'there are no alerts' },
]

const metricTemplate: Omit<Row, 'kind'>[] = [
  { field: 'metadata.name', key: 'canary.checks.queries.<name>', says: '' },
  { field: 'metadata.namespace', key: 'canary.checks.queries.<name>', says: '' },
  {
    field: 'spec.query',
    key: 'canary.checks.queries.<name>.query',
    says: '`{{ namespace }}` becomes `$namespace`, and so on',
  },
  {
    field: 'spec.provider.type',
    key: 'canary.prometheus',
    says: 'only `prometheus`; ask others by a webhook or a command',
  },
  { field: 'spec.provider.address', key: 'canary.prometheus', says: 'a Service of the cluster, or an address' },
  { field: 'spec.provider.secretRef', says: 'set `prometheus.token`' },
  { field: 'spec.provider.region', says: 'only Prometheus is asked' },
  { field: 'spec.provider.insecureSkipVerify', says: 'certificates are always verified' },
]

export const flaggerTable: Table = [
  ...canary.map((row) => ({ kind: 'Canary', ...row })),
  ...metricTemplate.map((row) => ({ kind: 'MetricTemplate', ...row })),
  {
    kind: 'AlertProvider',
    field: '',
    says: 'the pipeline tells people; a webhook of the type `event` gets every change, in the format of Flagger',
  },
]
