// The Kubernetes and Istio objects that the program reads and writes, each only as far as it is used,
// and where the API server keeps them.

export type Meta = {
  name: string
  namespace?: string
  uid?: string
  resourceVersion?: string
  generation?: number
  labels?: Record<string, string>
  annotations?: Record<string, string>
  deletionTimestamp?: string
  creationTimestamp?: string
  ownerReferences?: { kind: string; name: string; uid: string; controller?: boolean }[]
}

export type KubeObject = { apiVersion: string; kind: string; metadata: Meta }
export type ConfigMap = KubeObject & { data?: Record<string, string> }

type State = { reason?: string; message?: string; exitCode?: number; signal?: number; finishedAt?: string }
export type ContainerStatus = {
  name: string
  ready: boolean
  started?: boolean
  restartCount: number
  image?: string
  state?: { waiting?: State; running?: object; terminated?: State }
  lastState?: { terminated?: State }
}
type Container = { name: string; image?: string; restartPolicy?: string }
export type Pod = KubeObject & {
  spec: { containers: Container[]; initContainers?: Container[]; hostNetwork?: boolean; nodeName?: string }
  status?: {
    phase?: string
    reason?: string
    message?: string
    conditions?: { type: string; status: string; reason?: string; message?: string }[]
    containerStatuses?: ContainerStatus[]
    initContainerStatuses?: ContainerStatus[]
  }
}

export type Service = KubeObject & {
  spec: { selector?: Record<string, string>; ports: { name?: string; port: number; appProtocol?: string }[] }
}

export type Workload = KubeObject & {
  spec: {
    replicas?: number
    selector: { matchLabels?: Record<string, string> }
    template: { metadata?: { labels?: Record<string, string>; annotations?: Record<string, string> }; spec: { containers: Container[] } }
  }
  status?: {
    observedGeneration?: number
    replicas?: number
    updatedReplicas?: number
    availableReplicas?: number
    readyReplicas?: number
    desiredNumberScheduled?: number
    updatedNumberScheduled?: number
    numberAvailable?: number
    conditions?: { type: string; status: string; reason?: string; message?: string }[]
  }
}

export type KubeEvent = KubeObject & {
  involvedObject: { kind: string; name: string; uid?: string }
  reason?: string
  message?: string
  type?: string
  count?: number
  lastTimestamp?: string
  eventTime?: string
}

export type Destination = { host: string; subset?: string; port?: { number: number } }
export type HttpRoute = { name?: string; route?: { destination: Destination; weight?: number }[]; [key: string]: unknown }
export type VirtualService = KubeObject & { spec: { hosts: string[]; http?: HttpRoute[]; [key: string]: unknown } }
export type DestinationRule = KubeObject & {
  spec: { host: string; subsets?: { name: string; labels?: Record<string, string> }[]; [key: string]: unknown }
}

const places = {
  Namespace: ['v1', 'namespaces'],
  Pod: ['v1', 'pods'],
  Service: ['v1', 'services'],
  ConfigMap: ['v1', 'configmaps'],
  Event: ['v1', 'events'],
  Deployment: ['apps/v1', 'deployments'],
  StatefulSet: ['apps/v1', 'statefulsets'],
  DaemonSet: ['apps/v1', 'daemonsets'],
  ReplicaSet: ['apps/v1', 'replicasets'],
  VirtualService: ['networking.istio.io/v1', 'virtualservices'],
  DestinationRule: ['networking.istio.io/v1', 'destinationrules'],
  PeerAuthentication: ['security.istio.io/v1', 'peerauthentications'],
} as const
export type Kind = keyof typeof places

export function apiVersionOf(kind: Kind): string {
  return places[kind][0]
}

/** The address of a collection, or of one object in it, below the API server's root. */
export function pathOf(kind: Kind, namespace?: string, name?: string): string {
  const [version, plural] = places[kind]
  const group = version.includes('/') ? `/apis/${version}` : `/api/${version}`
  return [group, ...(namespace === undefined ? [] : ['namespaces', namespace]), plural, ...(name === undefined ? [] : [name])].join('/')
}
