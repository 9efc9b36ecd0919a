// The objects of the benchmark: one shop for each way to release, and a Prometheus for the analyses of the engines.
import { keepsConnections, metricNames, sampleImage } from '../../test/e2e/world.ts'

export const namespace = 'sample-app'
const { requests } = metricNames

/** How an engine looks at its canary. `fastest`: what it allows; `documented`: as its documentation shows. */
export type Settings = 'fastest' | 'documented'

const labelsOf = (app: string) => ({ app })

const service = (app: string, port = 3001) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: app, namespace },
  spec: { selector: labelsOf(app), ports: [{ name: 'http', port }] },
})

const program = `
  const { VERSION = 'v1', FAIL_RATE = 0 } = process.env
  require('node:http').createServer(${keepsConnections}, (_, response) => {
    response.writeHead(Math.random() < FAIL_RATE ? 500 : 200).end(JSON.stringify({ version: VERSION }))
  }).listen(3001)
  process.on('SIGTERM', () => setTimeout(() => process.exit(), 3000))`

const pods = (app: string) => ({
  selector: { matchLabels: labelsOf(app) },
  template: {
    metadata: {
      labels: labelsOf(app),
      annotations: { 'sidecar.istio.io/proxyCPU': '5m', 'sidecar.istio.io/proxyMemory': '32Mi' },
    },
    spec: {
      containers: [
        { name: 'app', image: sampleImage, imagePullPolicy: 'IfNotPresent', command: ['node', '-e', program] },
      ],
    },
  },
})

/** A shop as a Deployment. */
const deployment = (app: string) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: app, namespace },
  spec: pods(app),
})

/** The share of the requests to these pods that failed in the last seconds. */
const failing = (pods: string, window: string) =>
  `sum(rate(${requests}{reporter="destination",pod=~"${pods}",response_code=~"5.."}[${window}])) / ` +
  `sum(rate(${requests}{reporter="destination",pod=~"${pods}"}[${window}]))`

const prometheusAddress = `http://prometheus.${namespace}:9090`

/** The weights that every engine takes, with so many seconds each; the last step is all the traffic. */
export const weights = [10, 50]
export const stepSeconds = 15
/** How often the analyses of the engines look. */
export const analysisSeconds = { argo: { fastest: 5, documented: 60 }, flagger: { fastest: 10, documented: 60 } }

/** A shop that this program releases by itself. */
export const plain = (app: string): object[] => [service(app), deployment(app)]

/** A shop as a Rollout between two subsets. Without settings, the engine has no analysis of its own. */
export function rollout(app: string, settings: Settings | undefined): object[] {
  const window = settings === 'fastest' ? '10s' : '2m'
  const template = {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'AnalysisTemplate',
    metadata: { name: app, namespace },
    spec: {
      args: [{ name: 'hash' }],
      metrics: [
        {
          name: 'failing',
          interval: `${analysisSeconds.argo[settings ?? 'fastest']}s`,
          failureLimit: settings === 'fastest' ? 0 : 3,
          successCondition: 'len(result) == 0 || isNaN(result[0]) || result[0] < 0.05',
          provider: { prometheus: { address: prometheusAddress, query: failing(`${app}-{{args.hash}}-.*`, window) } },
        },
      ],
    },
  }
  const hash = { name: 'hash', valueFrom: { podTemplateHashValue: 'Latest' } }
  const analysis = { templates: [{ templateName: app }], args: [hash], startingStep: 1 }
  const route = ['stable', 'canary'].map((subset, i) => ({ destination: { host: app, subset }, weight: 100 - 100 * i }))
  return [
    service(app),
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'DestinationRule',
      metadata: { name: app, namespace },
      spec: { host: app, subsets: ['stable', 'canary'].map((name) => ({ name, labels: labelsOf(app) })) },
    },
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name: app, namespace },
      spec: { hosts: [app], http: [{ name: 'primary', route, retries: { attempts: 0 } }] },
    },
    ...(settings ? [template] : []),
    {
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'Rollout',
      metadata: { name: app, namespace },
      spec: {
        ...pods(app),
        strategy: {
          canary: {
            trafficRouting: {
              istio: {
                virtualService: { name: app },
                destinationRule: { name: app, stableSubsetName: 'stable', canarySubsetName: 'canary' },
              },
            },
            steps: weights.flatMap((setWeight) => [{ setWeight }, { pause: { duration: pauseOf(settings) } }]),
            ...(settings ? { analysis } : {}),
          },
        },
      },
    },
  ]
}

/** With the documented analysis, a step has to last until the analysis can decide. */
const pauseOf = (settings: Settings | undefined) => (settings === 'documented' ? '5m' : `${stepSeconds}s`)

/** A shop as a Deployment with a Canary. Without settings, the engine has no analysis of its own. */
export function canary(app: string, settings: Settings | undefined): object[] {
  const window = settings === 'documented' ? '1m' : '10s'
  const template = {
    apiVersion: 'flagger.app/v1beta1',
    kind: 'MetricTemplate',
    metadata: { name: app, namespace },
    spec: {
      provider: { type: 'prometheus', address: prometheusAddress },
      query: `100 * (${failing(`${app}-[0-9a-f]+-[0-9a-z]+`, window)} or vector(0))`,
    },
  }
  const metric = {
    name: 'failing',
    templateRef: { name: app, namespace },
    thresholdRange: { max: 5 },
    interval: window,
  }
  return [
    deployment(app),
    ...(settings ? [template] : []),
    {
      apiVersion: 'flagger.app/v1beta1',
      kind: 'Canary',
      metadata: { name: app, namespace },
      spec: {
        provider: 'istio',
        targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: app },
        service: { port: 3001, retries: { attempts: 0 } },
        analysis: {
          interval: `${analysisSeconds.flagger[settings ?? 'fastest']}s`,
          threshold: settings === 'documented' ? 5 : 1,
          stepWeights: weights,
          metrics: settings ? [metric] : [],
        },
      },
    },
  ]
}

/** Reads the sidecars of the namespace every two seconds. */
export const prometheus: object[] = [
  { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'prometheus', namespace } },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'prometheus', namespace },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
    subjects: [{ kind: 'ServiceAccount', name: 'prometheus', namespace }],
  },
  service('prometheus', 9090),
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'prometheus', namespace },
    data: {
      'prometheus.yaml': JSON.stringify({
        global: { scrape_interval: '2s' },
        scrape_configs: [
          {
            job_name: 'sidecars',
            metrics_path: '/stats/prometheus',
            kubernetes_sd_configs: [{ role: 'pod', namespaces: { names: [namespace] } }],
            relabel_configs: [
              { source_labels: ['__meta_kubernetes_pod_container_name'], regex: 'istio-proxy', action: 'keep' },
              { source_labels: ['__meta_kubernetes_pod_container_port_number'], regex: '15090', action: 'keep' },
              { source_labels: ['__meta_kubernetes_pod_name'], target_label: 'pod' },
            ],
          },
        ],
      }),
    },
  },
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'prometheus', namespace },
    spec: {
      selector: { matchLabels: labelsOf('prometheus') },
      template: {
        metadata: { labels: { ...labelsOf('prometheus'), 'sidecar.istio.io/inject': 'false' } },
        spec: {
          serviceAccountName: 'prometheus',
          containers: [
            {
              name: 'prometheus',
              image: 'docker.io/prom/prometheus:v3.16.0',
              imagePullPolicy: 'IfNotPresent',
              args: ['--config.file=/config/prometheus.yaml', '--storage.tsdb.path=/tmp/data'],
              volumeMounts: [{ name: 'config', mountPath: '/config' }],
            },
          ],
          volumes: [{ name: 'config', configMap: { name: 'prometheus' } }],
        },
      },
    },
  },
]
