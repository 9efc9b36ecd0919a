// The counterparts of the fields of Argo Rollouts.
import type { Row, Table } from '../table.ts'

const ofDeployment = 'write it into the two Deployments'
const otherRouter = 'mesh-canary moves traffic in Istio only'
const scaling =
  'mesh-canary scales no Deployment of yours; with `image` it makes the canary, see `replicas` and `after`'
const history = 'the reports of the runs are the history'
const oneList = 'one list for all; without TLS and TCP routes, and if each VirtualService has names'
const whereLabels = 'the labels of the Deployments tell the versions apart'

const rollout: Omit<Row, 'kind'>[] = [
  { field: 'metadata.name', key: 'canary.service', says: 'if it is the name of the Service' },
  { field: 'metadata.namespace', key: 'namespace', says: '' },
  { field: 'spec.replicas', says: ofDeployment },
  { field: 'spec.selector', says: ofDeployment },
  { field: 'spec.template', says: `${ofDeployment}, with a label such as \`version\` that tells them apart` },
  { field: 'spec.workloadRef', says: 'that Deployment is stable; deploy the new version as a second one' },
  { field: 'spec.minReadySeconds', says: ofDeployment },
  { field: 'spec.revisionHistoryLimit', says: ofDeployment },
  { field: 'spec.rollbackWindow', says: 'each promotion is judged anew' },
  { field: 'spec.paused', says: 'nothing starts by itself: run no job' },
  { field: 'spec.restartAt', says: 'use `kubectl rollout restart`' },
  { field: 'spec.analysis', says: history },
  { field: 'spec.progressDeadlineSeconds', key: 'canary.progressDeadline', says: '' },
  { field: 'spec.progressDeadlineAbort', key: 'canary.progressDeadline', says: '`true`, as always here' },
  { field: 'spec.strategy.blueGreen', says: 'use `steps: [100]`, with `ab` for the preview' },
  { field: 'spec.strategy.canary.stableService', key: 'canary.stable.service', says: 'without a DestinationRule' },
  { field: 'spec.strategy.canary.canaryService', key: 'canary.canary.service', says: 'without a DestinationRule' },
  {
    field: 'spec.strategy.canary.trafficRouting.istio.virtualService.name',
    key: 'canary.service',
    says: 'every route that splits between the two versions moves, in any VirtualService',
  },
  { field: 'spec.strategy.canary.trafficRouting.istio.virtualService.routes', key: 'canary.routes', says: oneList },
  {
    field: 'spec.strategy.canary.trafficRouting.istio.virtualService.tlsRoutes',
    says: 'TLS routes that split move too, because the result has no `routes`',
  },
  {
    field: 'spec.strategy.canary.trafficRouting.istio.virtualService.tcpRoutes',
    says: 'TCP routes that split move too, because the result has no `routes`',
  },
  { field: 'spec.strategy.canary.trafficRouting.istio.virtualServices[].name', key: 'canary.service', says: '' },
  { field: 'spec.strategy.canary.trafficRouting.istio.virtualServices[].routes', key: 'canary.routes', says: oneList },
  {
    field: 'spec.strategy.canary.trafficRouting.istio.virtualServices[].tlsRoutes',
    says: 'TLS routes that split move too, because the result has no `routes`',
  },
  {
    field: 'spec.strategy.canary.trafficRouting.istio.virtualServices[].tcpRoutes',
    says: 'TCP routes that split move too, because the result has no `routes`',
  },
  { field: 'spec.strategy.canary.trafficRouting.istio.destinationRule.name', key: 'canary.service', says: '' },
  {
    field: 'spec.strategy.canary.trafficRouting.istio.destinationRule.stableSubsetName',
    key: 'canary.stable',
    says: whereLabels,
  },
  {
    field: 'spec.strategy.canary.trafficRouting.istio.destinationRule.canarySubsetName',
    key: 'canary.canary',
    says: whereLabels,
  },
  {
    field: 'spec.strategy.canary.trafficRouting.istio.destinationRule.additionalSubsetNames',
    says: 'other subsets always stay',
  },
  { field: 'spec.strategy.canary.trafficRouting.managedRoutes', says: 'the routes of `ab` and `mirror` need no names' },
  { field: 'spec.strategy.canary.trafficRouting.maxTrafficWeight', says: 'weights are in per cent' },
  ...['nginx', 'alb', 'smi', 'ambassador', 'appMesh', 'traefik', 'apisix', 'plugins'].map((router) => ({
    field: `spec.strategy.canary.trafficRouting.${router}`,
    says: otherRouter,
  })),
  { field: 'spec.strategy.canary.steps[].setWeight', key: 'canary.steps', says: 'with 100 at the end' },
  { field: 'spec.strategy.canary.steps[].pause.duration', key: 'canary.interval', says: 'one for all steps' },
  { field: 'spec.strategy.canary.steps[].pause', key: 'canary.until', says: 'without a duration: an approval' },
  { field: 'spec.strategy.canary.steps[].setMirrorRoute.name', says: 'the route needs no name' },
  { field: 'spec.strategy.canary.steps[].setMirrorRoute.percentage', key: 'canary.mirror.percent', says: '' },
  { field: 'spec.strategy.canary.steps[].setMirrorRoute.match', key: 'canary.mirror', says: 'only of all requests' },
  { field: 'spec.strategy.canary.steps[].setHeaderRoute.name', says: 'the route needs no name' },
  {
    field: 'spec.strategy.canary.steps[].setHeaderRoute.match',
    key: 'canary.ab.match',
    says: 'several are alternatives, in both',
  },
  { field: 'spec.strategy.canary.steps[].setCanaryScale', says: scaling },
  {
    field: 'spec.strategy.canary.steps[].analysis',
    says: 'the queries of its templates became `checks.queries`, which run from the beginning of every step',
  },
  { field: 'spec.strategy.canary.steps[].experiment', says: 'deploy what it compares yourself, or use `mirror`' },
  { field: 'spec.strategy.canary.steps[].plugin', says: 'use a webhook or `checks.commands`' },
  { field: 'spec.strategy.canary.analysis.templates', key: 'canary.checks.queries', says: '' },
  {
    field: 'spec.strategy.canary.analysis.args',
    key: 'canary.checks.queries.<name>.query',
    says: 'their values are written into the queries',
  },
  { field: 'spec.strategy.canary.analysis.startingStep', says: 'every check runs from the first step on' },
  {
    field: 'spec.strategy.canary.analysis.dryRun',
    says: 'a check that decides nothing has no counterpart; `explain` shows all',
  },
  { field: 'spec.strategy.canary.analysis.measurementRetention', says: history },
  { field: 'spec.strategy.canary.analysis.analysisRunMetadata', says: history },
  { field: 'spec.strategy.canary.maxSurge', says: ofDeployment },
  { field: 'spec.strategy.canary.maxUnavailable', says: ofDeployment },
  { field: 'spec.strategy.canary.antiAffinity', says: ofDeployment },
  { field: 'spec.strategy.canary.canaryMetadata', says: ofDeployment },
  { field: 'spec.strategy.canary.stableMetadata', says: ofDeployment },
  ...[
    'scaleDownDelaySeconds',
    'scaleDownDelayRevisionLimit',
    'abortScaleDownDelaySeconds',
    'dynamicStableScale',
    'minPodsPerReplicaSet',
    'replicaProgressThreshold',
  ].map((key) => ({ field: `spec.strategy.canary.${key}`, says: scaling })),
  { field: 'spec.strategy.canary.pingPong', says: 'use `stable: { service: … }` and `canary: { service: … }`' },
]

const metric: Omit<Row, 'kind'>[] = [
  { field: 'metadata.name', key: 'canary.checks.queries', says: '' },
  { field: 'metadata.namespace', key: 'canary.checks.queries', says: '' },
  { field: 'spec.args', key: 'canary.checks.queries.<name>.query', says: 'their values are written into the queries' },
  { field: 'spec.templates', key: 'canary.checks.queries', says: '' },
  { field: 'spec.dryRun', says: 'a check that decides nothing has no counterpart; `explain` shows all' },
  { field: 'spec.measurementRetention', says: history },
  { field: 'spec.metrics[].name', key: 'canary.checks.queries.<name>', says: '' },
  { field: 'spec.metrics[].interval', key: 'canary.checks.queries.<name>.every', says: '' },
  { field: 'spec.metrics[].initialDelay', says: 'every check runs from the beginning of every step' },
  { field: 'spec.metrics[].count', says: 'a check runs until the step ends' },
  {
    field: 'spec.metrics[].successCondition',
    key: 'canary.checks.queries.<name>.min',
    says: 'or `max`, or both: comparisons of the result with a number',
  },
  {
    field: 'spec.metrics[].failureCondition',
    key: 'canary.checks.queries.<name>.max',
    says: 'or `min`, without `successCondition`',
  },
  {
    field: 'spec.metrics[].failureLimit',
    key: 'canary.checks.queries.<name>.failures',
    says: '`failureLimit: 2` aborts at the third failure in total; `failures: 3` means three in a row',
  },
  {
    field: 'spec.metrics[].inconclusiveLimit',
    says: 'a query without a result is inconclusive; see `progressDeadline` and `onInconclusive`',
  },
  {
    field: 'spec.metrics[].consecutiveErrorLimit',
    says: 'Prometheus may be silent until `progressDeadline`; then the step is inconclusive',
  },
  {
    field: 'spec.metrics[].consecutiveSuccessLimit',
    says: 'a step lasts `interval`; `advance: early` ends it with its evidence',
  },
  {
    field: 'spec.metrics[].provider.prometheus.address',
    key: 'canary.prometheus',
    says: 'a Service of the cluster, or an address',
  },
  { field: 'spec.metrics[].provider.prometheus.query', key: 'canary.checks.queries.<name>.query', says: '' },
  { field: 'spec.metrics[].provider.prometheus.timeout', key: 'canary.prometheus.timeout', says: '' },
  {
    field: 'spec.metrics[].provider.prometheus.authentication',
    says: 'set `prometheus.token`, or use a proxy that signs',
  },
  {
    field: 'spec.metrics[].provider.prometheus.headers',
    says: 'set `prometheus.token`; other headers have no counterpart',
  },
  { field: 'spec.metrics[].provider.prometheus.rangeQuery', says: 'a check has one result: write an instant query' },
  { field: 'spec.metrics[].provider.prometheus.insecure', says: 'certificates are always verified' },
  {
    field: 'spec.metrics[].provider.web',
    says: 'use a webhook of the type `rollout`, where 2xx passes, or `checks.commands`',
  },
  { field: 'spec.metrics[].provider.job', says: 'use `checks.commands`, which run on the runner' },
  ...['kayenta', 'datadog', 'wavefront', 'newRelic', 'cloudWatch', 'graphite', 'influxdb', 'skywalking', 'plugin'].map(
    (provider) => ({
      field: `spec.metrics[].provider.${provider}`,
      says: 'ask it by a webhook or by `checks.commands`',
    }),
  ),
]

export const argoTable: Table = [
  ...rollout.map((row) => ({ kind: 'Rollout', ...row })),
  ...metric.map((row) => ({ kind: 'AnalysisTemplate', ...row })),
  ...metric.map((row) => ({ kind: 'ClusterAnalysisTemplate', ...row })),
]
