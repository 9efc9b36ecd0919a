// A pod as istiod's webhook and the kubelet leave it, as large as a real one: the benchmark's pods run nowhere. Pure.
import { addressOf, istioVersion, serviceName, type Place } from './layout.ts'

export const nodeName = 'scale'

export type PlacedPod = { name: string; pod: object; status: object }

const field = (fieldPath: string) => ({ fieldRef: { apiVersion: 'v1', fieldPath } })
const proxyImage = `docker.io/istio/proxyv2:${istioVersion}`
const resources = { requests: { cpu: '5m', memory: '32Mi' } }
const probe = (more: object) => ({
  httpGet: { path: '/healthz/ready', port: 15021, scheme: 'HTTP' },
  successThreshold: 1,
  timeoutSeconds: 3,
  ...more,
})

export function podOf(place: Place, namespace: string, hasManyServices: boolean): PlacedPod {
  const { role, service, number } = place
  const app = role === 'client' ? `caller-${service}` : serviceName(service)
  const workload = `${app}-${role}`
  const name = `${workload}-5d8f6c7b9-${number}`
  return {
    name,
    pod: {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name,
        namespace,
        labels: {
          app,
          version: role,
          'pod-template-hash': '5d8f6c7b9',
          'security.istio.io/tlsMode': 'istio',
          'service.istio.io/canonical-name': app,
          'service.istio.io/canonical-revision': role,
        },
        annotations,
      },
      spec: specOf(workload, namespace),
    },
    status: statusOf(addressOf(place, hasManyServices)),
  }
}

const volumeNames = [
  'workload-socket',
  'credential-socket',
  'workload-certs',
  'istio-envoy',
  'istio-data',
  'istio-podinfo',
  'istio-token',
  'istiod-ca-cert',
  'istio-ca-crl',
]

const annotations = {
  'istio.io/rev': 'default',
  'kubectl.kubernetes.io/default-container': 'app',
  'kubectl.kubernetes.io/default-logs-container': 'app',
  'prometheus.io/path': '/stats/prometheus',
  'prometheus.io/port': '15020',
  'prometheus.io/scrape': 'true',
  'sidecar.istio.io/status': JSON.stringify({
    initContainers: ['istio-init', 'istio-proxy'],
    containers: null,
    volumes: volumeNames,
    imagePullSecrets: null,
    revision: 'default',
  }),
}

function specOf(workload: string, namespace: string): object {
  return {
    nodeName,
    // Nothing would end the pod, so it must be gone as soon as it is deleted.
    terminationGracePeriodSeconds: 0,
    initContainers: [iptables, proxy(workload, namespace)],
    containers: [
      {
        name: 'app',
        image: 'docker.io/mesh-canary/sample-app:1',
        imagePullPolicy: 'IfNotPresent',
        ports: [{ name: 'http', containerPort: 8080 }],
      },
    ],
    volumes: volumeNames.map((name) => ({ name, emptyDir: {} })),
  }
}

const iptables = {
  name: 'istio-init',
  image: proxyImage,
  args: [
    'istio-iptables',
    '-p',
    '15001',
    '-z',
    '15006',
    '-u',
    '1337',
    '-m',
    'REDIRECT',
    '-i',
    '*',
    '-x',
    '',
    '-b',
    '*',
    '-d',
    '15090,15021,15020',
    '--log_output_level=default:info',
  ],
  resources,
  securityContext: {
    allowPrivilegeEscalation: false,
    capabilities: { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] },
    privileged: false,
    readOnlyRootFilesystem: false,
    runAsGroup: 0,
    runAsNonRoot: false,
    runAsUser: 0,
  },
}

const proxy = (workload: string, namespace: string): object => ({
  name: 'istio-proxy',
  image: proxyImage,
  restartPolicy: 'Always',
  args: [
    'proxy',
    'sidecar',
    '--domain',
    '$(POD_NAMESPACE).svc.cluster.local',
    '--proxyLogLevel=warning',
    '--proxyComponentLogLevel=misc:error',
    '--log_output_level=default:info',
  ],
  env: [
    { name: 'PILOT_CERT_PROVIDER', value: 'istiod' },
    { name: 'CA_ADDR', value: 'istiod.istio-system.svc:15012' },
    { name: 'POD_NAME', valueFrom: field('metadata.name') },
    { name: 'POD_NAMESPACE', valueFrom: field('metadata.namespace') },
    { name: 'INSTANCE_IP', valueFrom: field('status.podIP') },
    { name: 'SERVICE_ACCOUNT', valueFrom: field('spec.serviceAccountName') },
    { name: 'HOST_IP', valueFrom: field('status.hostIP') },
    { name: 'ISTIO_CPU_LIMIT', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
    { name: 'PROXY_CONFIG', value: '{}\n' },
    { name: 'ISTIO_META_POD_PORTS', value: '[\n    {"name":"http","containerPort":8080,"protocol":"TCP"}\n]' },
    { name: 'ISTIO_META_APP_CONTAINERS', value: 'app' },
    { name: 'GOMEMLIMIT', valueFrom: { resourceFieldRef: { resource: 'limits.memory' } } },
    { name: 'GOMAXPROCS', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
    { name: 'ISTIO_META_CLUSTER_ID', value: 'Kubernetes' },
    { name: 'ISTIO_META_NODE_NAME', valueFrom: field('spec.nodeName') },
    { name: 'ISTIO_META_INTERCEPTION_MODE', value: 'REDIRECT' },
    { name: 'ISTIO_META_WORKLOAD_NAME', value: workload },
    { name: 'ISTIO_META_OWNER', value: `kubernetes://apis/apps/v1/namespaces/${namespace}/deployments/${workload}` },
    { name: 'ISTIO_META_MESH_ID', value: 'cluster.local' },
    { name: 'TRUST_DOMAIN', value: 'cluster.local' },
  ],
  lifecycle: { preStop: { exec: { command: ['pilot-agent', 'request', '--debug-port=15020', 'POST', 'drain'] } } },
  ports: [{ containerPort: 15090, name: 'http-envoy-prom', protocol: 'TCP' }],
  readinessProbe: probe({ failureThreshold: 4, periodSeconds: 15 }),
  startupProbe: probe({ failureThreshold: 600, periodSeconds: 1 }),
  resources,
  securityContext: {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
    privileged: false,
    readOnlyRootFilesystem: true,
    runAsGroup: 1337,
    runAsNonRoot: true,
    runAsUser: 1337,
  },
  volumeMounts: volumeNames.map((name) => ({ name, mountPath: `/var/run/istio/${name}` })),
})

function statusOf(podIP: string): object {
  const lastTransitionTime = new Date().toISOString().replace(/\.\d+Z/, 'Z')
  const conditions = ['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady', 'PodScheduled']
  const started = {
    containerID: `containerd://${'0'.repeat(64)}`,
    imageID: `sha256:${'0'.repeat(64)}`,
    restartCount: 0,
    ready: true,
    lastState: {},
  }
  const running = { ...started, started: true, state: { running: { startedAt: lastTransitionTime } } }
  return {
    phase: 'Running',
    podIP,
    podIPs: [{ ip: podIP }],
    hostIP: '10.77.0.1',
    hostIPs: [{ ip: '10.77.0.1' }],
    startTime: lastTransitionTime,
    conditions: conditions.map((type) => ({ type, status: 'True', lastTransitionTime })),
    containerStatuses: [{ name: 'app', image: 'docker.io/mesh-canary/sample-app:1', ...running }],
    initContainerStatuses: [
      {
        name: 'istio-init',
        image: proxyImage,
        ...started,
        started: false,
        state: {
          terminated: {
            exitCode: 0,
            reason: 'Completed',
            startedAt: lastTransitionTime,
            finishedAt: lastTransitionTime,
          },
        },
      },
      { name: 'istio-proxy', image: proxyImage, ...running },
    ],
  }
}
