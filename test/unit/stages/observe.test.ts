// The stage observe: what it writes, in which order, what it leaves alone, and what it refuses before it writes. A fake
// stands for the cluster, because the tests check the order of the writes; the e2e tests run the real programs.
import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import { keyOf, type ConfigMap, type KubeObject, type Service } from '../../../src/cluster/objects.ts'
import { providersAnnotation, providersIn } from '../../../src/mesh/extension-providers.ts'
import { observabilityClusterFaults } from '../../../src/observability/checks.ts'
import { ownerOf, withOwnerMarks } from '../../../src/policies/owned-objects.ts'
import { createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport } from '../../../src/report/report.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { observe } from '../../../src/stages/observe.ts'
import { configOf, fileWith, pod } from '../fixtures.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { policy, recordingCluster, type RecordingCluster } from '../policies/recording-cluster.ts'

/** A Deployment that is applied is rolled out at once. */
function clusterWith(objects: KubeObject[] = [], refuse?: Parameters<typeof recordingCluster>[1]): RecordingCluster {
  const fake = recordingCluster(objects, refuse)
  const status = { updatedReplicas: 1, availableReplicas: 1, replicas: 1, observedGeneration: 1 }
  const get: RecordingCluster['cluster']['get'] = async (kind, namespace, name) => {
    const object = await fake.cluster.get(kind, namespace, name)
    return (object && kind === 'Deployment' ? { ...object, status } : object) as never
  }
  return { ...fake, cluster: { ...fake.cluster, get } }
}

const meshConfig = (mesh = 'rootNamespace: istio-system\n', annotations = {}): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'istio', namespace: 'istio-system', resourceVersion: '1', annotations },
  data: { mesh },
})

function contextFor(cluster: StageContext['cluster'], yaml: string): StageContext & { lines: string[] } {
  const lines: string[] = []
  const recorder = createRecorder(emptyReport('shop', new Date(0), false))
  const config = loadConfig({ INPUT_CONFIG: fileWith(`name: shop\nnamespace: shop\n${yaml}`) })
  const host = { signal: new AbortController().signal, info: (line: string) => void lines.push(line) }
  return { cluster, config, recorder, host, lines, stages: ['observe'] } as unknown as StageContext & {
    lines: string[]
  }
}

const everything =
  'observability: { metrics: { prometheus: install }, traces: { collector: install }, logs: { collector: stdout } }'
const run = (fake: RecordingCluster, yaml = everything) => observe(contextFor(fake.cluster, yaml))
const titles = ({ stored }: RecordingCluster) => [...stored.values()].map(keyOf).sort()
const mesh = ({ stored }: RecordingCluster) => stored.get('ConfigMap istio-system/istio') as ConfigMap

test('installs Prometheus and Jaeger, and adds the providers after the Services', async () => {
  const fake = clusterWith([meshConfig()])
  expect(await run(fake)).toEqual({ changed: true })
  expect(titles(fake)).toEqual(
    [
      'ConfigMap istio-system/istio',
      'ConfigMap observability/jaeger',
      'ConfigMap observability/prometheus',
      'Deployment observability/jaeger',
      'Deployment observability/prometheus',
      'Namespace /observability',
      'Role istio-system/observability-prometheus',
      'Role shop/observability-prometheus',
      'RoleBinding istio-system/observability-prometheus',
      'RoleBinding shop/observability-prometheus',
      'Service observability/jaeger',
      'Service observability/prometheus',
      'ServiceAccount observability/prometheus',
    ].sort(),
  )
  expect(providersIn(mesh(fake)).map(({ name }) => name)).toEqual(['mesh-canary-traces', 'mesh-canary-logs'])
  expect(fake.calls.indexOf('Namespace')).toBe(0)
  expect(fake.calls.at(-1)).toBe('patch ConfigMap')
})

test('changes nothing the second time', async () => {
  const fake = clusterWith([meshConfig()])
  await run(fake)
  const before = fake.calls.length
  expect(await run(fake)).toEqual({ changed: false })
  expect(fake.calls).toHaveLength(before)
})

test('shows a dry run as a plan, and writes nothing', async () => {
  const fake = clusterWith([meshConfig()])
  const context = contextFor(fake.cluster, `${everything}\ndryRun: true`)
  expect(await observe(context)).toEqual({ changed: true })
  expect(fake.calls).toEqual([])
  expect(context.lines).toContain('Deployment jaeger: create')
  expect(context.lines).toContain(
    '    + extensionProviders[mesh-canary-traces].opentelemetry.service: jaeger.observability.svc.cluster.local',
  )
})

test('removes what the config no longer asks for, the providers before the Services', async () => {
  const theirs = 'extensionProviders:\n- name: theirs\n  zipkin: { service: zipkin.x, port: 9411 }\n'
  const fake = clusterWith([meshConfig(theirs)])
  await run(fake)
  fake.calls.length = 0
  expect(await run(fake, 'observability: {}')).toEqual({ changed: true })
  expect(titles(fake)).toEqual(['ConfigMap istio-system/istio'])
  expect(providersIn(mesh(fake)).map(({ name }) => name)).toEqual(['theirs'])
  expect(mesh(fake).metadata.annotations).toEqual({})
  expect(fake.calls[0]).toBe('patch ConfigMap')
  expect(fake.calls.at(-1)).toBe('remove Namespace')
})

test('leaves a namespace in which somebody else works', async () => {
  const fake = clusterWith([meshConfig()])
  await run(fake)
  const grafana = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'grafana', namespace: 'observability' } }
  fake.stored.set(keyOf(grafana), grafana)
  const context = contextFor(fake.cluster, 'observability: {}')
  await observe(context)
  expect(titles(fake)).toContain('Namespace /observability')
  expect(titles(fake)).not.toContain('Deployment observability/prometheus')
  expect(context.lines).toContain('the namespace observability stays: it also holds Secret observability/grafana')
})

test('uses a namespace that exists already, and does not take it over', async () => {
  const theirs = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'observability' } }
  const fake = clusterWith([meshConfig(), theirs])
  await run(fake)
  expect(fake.stored.get('Namespace /observability')).toEqual(theirs)
})

test('refuses to overwrite a Deployment of somebody else', async () => {
  const theirs = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'jaeger', namespace: 'observability' } }
  const fake = clusterWith([meshConfig(), theirs])
  await expect(run(fake)).rejects.toThrow(
    'observability: Deployment observability/jaeger exists already, and mesh-canary does not manage it',
  )
  expect(fake.calls).toEqual([])
})

test('keeps a provider that a Telemetry of another namespace names', async () => {
  const spec = { tracing: [{ providers: [{ name: 'mesh-canary-traces' }] }] }
  const other = policy('Telemetry', 'default', spec, { namespace: 'other' })
  const fake = clusterWith([meshConfig(), other])
  await run(fake)
  await run(fake, 'observability: {}')
  expect(providersIn(mesh(fake)).map(({ name }) => name)).toEqual(['mesh-canary-traces'])
})

test('without a mesh config says so, and writes nothing', async () => {
  const fake = clusterWith()
  await expect(run(fake)).rejects.toThrow(
    'the ConfigMap istio-system/istio, does not exist, so no extension provider can be added to it',
  )
  expect(fake.calls).toEqual([])
})

describe('before anything is written', () => {
  const faults = (yaml: string, ...objects: KubeObject[]) => {
    const config = configOf(`namespace: shop\nobservability: ${yaml}`)
    return observabilityClusterFaults(clusterWith(objects).cluster, config, ownerOf(config), false)
  }
  const collector = (name: string | undefined, port = 4317, more = {}): Service => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'otel', namespace: 'monitoring' },
    spec: { ports: [{ ...(name === undefined ? {} : { name }), port, ...more }] },
  })
  const traces = '{ traces: { collector: "monitoring/otel:4317" } }'

  test.each([
    ['grpc-otlp', {}],
    ['otlp', { appProtocol: 'grpc' }],
    ['otlp', { appProtocol: 'kubernetes.io/h2c' }],
    ['http2', {}],
  ])('takes a port named %s, %o as gRPC', async (name, more) => {
    expect(await faults(traces, collector(name, 4317, more))).toEqual([])
  })

  test.each([
    ['http-otlp', {}, 'is named http-otlp, so Istio does not speak gRPC there'],
    ['otlp', {}, 'is named otlp, so'],
    [undefined, {}, 'has no name, so'],
    ['grpc', { appProtocol: 'http' }, 'is named grpc and has the appProtocol http, so'],
  ])('refuses a port named %s, %o', async (name, more, text) => {
    expect(await faults(traces, collector(name, 4317, more))).toEqual([expect.stringContaining(text)])
  })

  test('names a collector that is not there, and its ports if the port is not there', async () => {
    expect(await faults(traces)).toEqual([expect.stringContaining('the Service monitoring/otel does not exist')])
    expect(await faults(traces, collector('http-otlp', 4318))).toEqual([
      'observability.traces.collector: the Service monitoring/otel has no port 4317; it has 4318 (http-otlp)',
    ])
  })

  test('names a provider that stands for something else', async () => {
    const map = meshConfig('extensionProviders:\n- name: mesh-canary-traces\n  zipkin: { service: z, port: 1 }\n')
    expect(await faults(traces, collector('grpc'), map)).toEqual([
      'observability.traces.provider: the mesh config (ConfigMap istio-system/istio) defines an extension provider ' +
        'mesh-canary-traces already, for something else ({"zipkin":{"service":"z","port":1}}); choose another name, ' +
        'or remove it there',
    ])
  })

  test('refuses to move the provider that a Telemetry of others names', async () => {
    const content = { name: 'mesh-canary-traces', opentelemetry: { service: 'elsewhere', port: 4317 } }
    const map = meshConfig(`extensionProviders: [${JSON.stringify(content)}]`, {
      [providersAnnotation]: 'mesh-canary-traces',
    })
    const spec = { tracing: [{ providers: [{ name: 'mesh-canary-traces' }] }] }
    const other = policy('Telemetry', 'default', spec, { namespace: 'other' })
    expect(await faults(traces, collector('grpc'), map, other)).toEqual([
      expect.stringContaining('already leads to another collector, and the Telemetry other/default uses it'),
    ])
  })

  test('names the CRDs that the Prometheus Operator lacks', async () => {
    expect(await faults('{ metrics: { prometheus: operator } }')).toEqual([
      expect.stringContaining(
        'the cluster lacks the CRDs of the Prometheus Operator (podmonitors.monitoring.coreos.com',
      ),
    ])
  })

  const crds = (version: string) =>
    ['podmonitors', 'servicemonitors', 'prometheusrules', 'prometheuses'].map((plural) => ({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `${plural}.monitoring.coreos.com` },
      spec: { versions: [{ name: version, served: true }] },
    }))
  const prometheus = (name: string, spec: object = {}) => ({
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'Prometheus',
    metadata: { name, namespace: 'monitoring' },
    spec,
  })
  const operator = '{ metrics: { prometheus: operator } }'

  test('names CRDs that are too old', async () => {
    expect(await faults(operator, ...crds('v1alpha1'))).toEqual([
      expect.stringMatching(/are too old: podmonitors\..* do not serve the version v1; update the operator/),
    ])
  })

  test('asks which Prometheus is meant', async () => {
    const selects = { podMonitorSelector: {}, serviceMonitorSelector: {}, ruleSelector: {} }
    const two = [prometheus('a', selects), prometheus('b', selects)]
    expect(await faults(operator, ...crds('v1'), ...two)).toEqual([
      expect.stringContaining('several Prometheus objects (monitoring/a, monitoring/b)'),
    ])
    expect(await faults('{ metrics: { prometheus: { operator: monitoring/b } } }', ...crds('v1'), ...two)).toEqual([])
  })

  test('says which selector takes nothing of this run', async () => {
    const helm = { matchLabels: { 'app.kubernetes.io/managed-by': 'Helm' } }
    const spec = { podMonitorSelector: helm, serviceMonitorSelector: {} }
    const withAlerts = '{ metrics: { prometheus: operator }, alerts: true }'
    expect(await faults(withAlerts, ...crds('v1'), prometheus('a', spec))).toEqual([
      expect.stringContaining('no labels make the podMonitorSelector of the Prometheus monitoring/a select'),
      expect.stringContaining('has no ruleSelector, so it takes no PrometheusRule at all'),
    ])
  })

  test('asks for the CRD and the selector of rules only if there are alerts', async () => {
    const withoutRules = [
      ...crds('v1').filter(({ metadata: { name } }) => !name.startsWith('prometheusrules.')),
      prometheus('a', { podMonitorSelector: {}, serviceMonitorSelector: {} }),
    ]
    expect(await faults(operator, ...withoutRules)).toEqual([])
    expect(await faults('{ metrics: { prometheus: operator }, alerts: true }', ...withoutRules)).toEqual([
      expect.stringContaining('lacks the CRDs of the Prometheus Operator (prometheusrules.monitoring.coreos.com)'),
    ])
  })
})

describe('a Prometheus that has just started', () => {
  const sidecar = pod({ metadata: { name: 'backend-1', namespace: 'shop' } })
  const yaml = 'verify: { timeout: 1ms }\nobservability: { metrics: { prometheus: install } }'
  /** `scraped`: the pods that its answer has. */
  function withAnswer(...scraped: string[]): RecordingCluster {
    const fake = clusterWith([sidecar])
    const result = scraped.map((name) => ({ metric: { pod: name }, value: [0, '1'] }))
    const answer = JSON.stringify({ status: 'success', data: { resultType: 'vector', result } })
    return { ...fake, cluster: { ...fake.cluster, service: () => Promise.resolve(answer) } }
  }

  test('has to have scraped the sidecars, because a promotion counts from what it finds', async () => {
    await expect(run(withAnswer(), yaml)).rejects.toThrow(
      /did not scrape the sidecars of backend-1 within 0.001 s; `kubectl get --raw .*observability.*targets` shows why/,
    )
    expect(await run(withAnswer('backend-1'), yaml)).toEqual({ changed: true })
  })
})

describe('with the Prometheus Operator', () => {
  const found = [
    ...['podmonitors', 'servicemonitors', 'prometheusrules', 'prometheuses'].map((plural) => ({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `${plural}.monitoring.coreos.com` },
      spec: { versions: [{ name: 'v1', served: true }] },
    })),
    {
      apiVersion: 'monitoring.coreos.com/v1',
      kind: 'Prometheus',
      metadata: { name: 'main', namespace: 'monitoring' },
      spec: {
        podMonitorSelector: { matchLabels: { release: 'main' } },
        serviceMonitorSelector: {},
        ruleSelector: { matchLabels: { role: 'rules' } },
      },
    },
  ]
  const yaml = 'observability: { metrics: { prometheus: operator } }'

  test('the monitors have the labels that its Prometheus selects', async () => {
    const fake = clusterWith(found)
    await run(fake, yaml)
    expect(fake.stored.get('PodMonitor monitoring/istio-proxies-shop')?.metadata.labels).toMatchObject({
      release: 'main',
      'app.kubernetes.io/managed-by': 'mesh-canary',
    })
    expect(titles(fake)).toEqual(expect.arrayContaining(['ServiceMonitor monitoring/istiod']))
  })

  test('a monitor that another config has made is shared', async () => {
    const fake = clusterWith(found)
    await run(fake, yaml)
    const other = { ...contextFor(fake.cluster, yaml).config, namespace: 'other' }
    const theirs = ownerOf({ ...other, identity: { owner: 'other', prunes: true, earlier: [] } })
    const monitor = fake.stored.get('ServiceMonitor monitoring/istiod')!
    const marked = withOwnerMarks({ ...monitor, metadata: { ...monitor.metadata, labels: {} } }, theirs)
    const labels = { ...marked.metadata.labels, 'app.kubernetes.io/component': 'observability' }
    fake.stored.set('ServiceMonitor monitoring/istiod', { ...marked, metadata: { ...marked.metadata, labels } })
    expect(await run(fake, yaml)).toEqual({ changed: false })
  })

  test('a field that its CRDs lack is an error that says so, before anything is written', async () => {
    const refuse = ({ kind }: KubeObject) =>
      kind === 'PodMonitor'
        ? new ApiError(
            500,
            'failed to create typed patch object: .spec.podMetricsEndpoints: field not declared in schema',
          )
        : undefined
    const fake = clusterWith(found, refuse)
    await expect(run(fake, yaml)).rejects.toThrow(/field not declared in schema.*are older than this version/s)
    expect(fake.calls).toEqual([])
  })
})
