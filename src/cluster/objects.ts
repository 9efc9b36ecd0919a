// The Kubernetes and Istio objects that the program reads and writes, and their paths on the API server. Each type has
// only the fields that the program uses.

/** Which fields a manager has set. `subresource`: it wrote that part only, such as `status`. */
export type ManagedFields = {
  manager?: string
  operation?: string
  subresource?: string
  time?: string
  fieldsV1?: Record<string, unknown>
}

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
  managedFields?: ManagedFields[]
  ownerReferences?: { apiVersion?: string; kind: string; name: string; uid: string; controller?: boolean }[]
}

export type KubeObject = { apiVersion: string; kind: string; metadata: Meta }
export type Lease = KubeObject & {
  spec?: {
    holderIdentity?: string | null
    leaseDurationSeconds?: number
    acquireTime?: string
    renewTime?: string
    leaseTransitions?: number
  }
}
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
export type Quantities = Record<string, string>
export type Probe = {
  httpGet?: { path?: string; port: number | string; host?: string }
  tcpSocket?: { port: number | string; host?: string }
  grpc?: { port: number }
}
export type Container = {
  name: string
  command?: string[]
  args?: string[]
  env?: { name: string; value?: string }[]
  startupProbe?: Probe
  readinessProbe?: Probe
  livenessProbe?: Probe
  image?: string
  restartPolicy?: string
  ports?: { name?: string; containerPort: number; protocol?: string }[]
  resources?: { requests?: Quantities; limits?: Quantities }
}
export type Pod = KubeObject & {
  spec: {
    containers: Container[]
    initContainers?: Container[]
    hostNetwork?: boolean
    nodeName?: string
    overhead?: Quantities
  }
  status?: {
    phase?: string
    podIP?: string
    startTime?: string
    reason?: string
    message?: string
    conditions?: { type: string; status: string; reason?: string; message?: string }[]
    containerStatuses?: ContainerStatus[]
    initContainerStatuses?: ContainerStatus[]
  }
}

export type Node = KubeObject & {
  spec?: { unschedulable?: boolean; taints?: { effect: string }[] }
  status?: {
    allocatable?: Quantities
    images?: { names?: string[] }[]
    conditions?: { type: string; status: string; reason?: string; message?: string }[]
    nodeInfo?: { kubeletVersion: string }
    addresses?: { type: string; address: string }[]
  }
}

export type Service = KubeObject & {
  spec: {
    selector?: Record<string, string>
    /** `None` for a headless Service. */
    clusterIP?: string
    ports: { name?: string; port: number; targetPort?: number | string; protocol?: string; appProtocol?: string }[]
  }
}

export type Workload = KubeObject & {
  spec: {
    replicas?: number
    paused?: boolean
    updateStrategy?: { type?: string }
    selector: { matchLabels?: Record<string, string> }
    template: {
      metadata?: { labels?: Record<string, string>; annotations?: Record<string, string> }
      spec: {
        containers: Container[]
        initContainers?: Container[]
        hostNetwork?: boolean
        serviceAccountName?: string
      }
    }
  }
  status?: {
    observedGeneration?: number
    replicas?: number
    updatedReplicas?: number
    availableReplicas?: number
    readyReplicas?: number
    desiredNumberScheduled?: number
    currentNumberScheduled?: number
    updatedNumberScheduled?: number
    numberAvailable?: number
    conditions?: { type: string; status: string; reason?: string; message?: string }[]
  }
}

export type HorizontalPodAutoscaler = KubeObject & {
  spec: { scaleTargetRef: { kind: string; name: string }; minReplicas?: number; maxReplicas?: number }
  status?: { conditions?: { type: string; status: string; reason?: string }[] }
}

/** `ready` is undefined if nobody knows; then callers use the endpoint. */
export type EndpointSlice = KubeObject & {
  addressType: string
  endpoints?: {
    conditions?: { ready?: boolean; terminating?: boolean }
    targetRef?: { kind: string; name: string; uid?: string }
  }[]
}

export type KubeEvent = KubeObject & {
  involvedObject: { kind: string; name: string; uid?: string; fieldPath?: string }
  reason?: string
  message?: string
  type?: string
  count?: number
  lastTimestamp?: string
  eventTime?: string
}

export type Destination = { host: string; subset?: string; port?: { number: number } }
export type HttpRoute = {
  name?: string
  match?: unknown
  route?: { destination: Destination; weight?: number }[]
  [key: string]: unknown
}
export type L4Route = { route?: { destination: Destination; weight?: number }[]; [key: string]: unknown }
/** A VirtualService that another one delegates to has no hosts. */
export type VirtualService = KubeObject & {
  spec: { hosts?: string[]; http?: HttpRoute[]; tcp?: L4Route[]; tls?: L4Route[]; [key: string]: unknown }
}
type BackendRef = { name: string; namespace?: string; kind?: string; weight?: number }
/** An HTTPRoute or a GRPCRoute of the Gateway API. */
export type GatewayRoute = KubeObject & {
  spec: { rules?: { name?: string; backendRefs?: BackendRef[]; [key: string]: unknown }[] }
}
export type DestinationRule = KubeObject & {
  spec: { host: string; subsets?: { name: string; labels?: Record<string, string> }[]; [key: string]: unknown }
}

/** The namespace of the control plane and of policies for the whole mesh. */
export const systemNamespace = 'istio-system'

const resourcePaths = {
  Namespace: ['v1', 'namespaces'],
  Node: ['v1', 'nodes'],
  Pod: ['v1', 'pods'],
  Service: ['v1', 'services'],
  EndpointSlice: ['discovery.k8s.io/v1', 'endpointslices'],
  ServiceAccount: ['v1', 'serviceaccounts'],
  ConfigMap: ['v1', 'configmaps'],
  Secret: ['v1', 'secrets'],
  PersistentVolumeClaim: ['v1', 'persistentvolumeclaims'],
  Event: ['v1', 'events'],
  Deployment: ['apps/v1', 'deployments'],
  StatefulSet: ['apps/v1', 'statefulsets'],
  DaemonSet: ['apps/v1', 'daemonsets'],
  ReplicaSet: ['apps/v1', 'replicasets'],
  HorizontalPodAutoscaler: ['autoscaling/v2', 'horizontalpodautoscalers'],
  Lease: ['coordination.k8s.io/v1', 'leases'],
  Role: ['rbac.authorization.k8s.io/v1', 'roles'],
  RoleBinding: ['rbac.authorization.k8s.io/v1', 'rolebindings'],
  PodDisruptionBudget: ['policy/v1', 'poddisruptionbudgets'],
  Job: ['batch/v1', 'jobs'],
  CronJob: ['batch/v1', 'cronjobs'],
  Ingress: ['networking.k8s.io/v1', 'ingresses'],
  ResourceQuota: ['v1', 'resourcequotas'],
  NetworkPolicy: ['networking.k8s.io/v1', 'networkpolicies'],
  VirtualService: ['networking.istio.io/v1', 'virtualservices'],
  DestinationRule: ['networking.istio.io/v1', 'destinationrules'],
  Gateway: ['networking.istio.io/v1', 'gateways'],
  ServiceEntry: ['networking.istio.io/v1', 'serviceentries'],
  Sidecar: ['networking.istio.io/v1', 'sidecars'],
  WorkloadEntry: ['networking.istio.io/v1', 'workloadentries'],
  WorkloadGroup: ['networking.istio.io/v1', 'workloadgroups'],
  EnvoyFilter: ['networking.istio.io/v1alpha3', 'envoyfilters'],
  ProxyConfig: ['networking.istio.io/v1beta1', 'proxyconfigs'],
  PeerAuthentication: ['security.istio.io/v1', 'peerauthentications'],
  RequestAuthentication: ['security.istio.io/v1', 'requestauthentications'],
  AuthorizationPolicy: ['security.istio.io/v1', 'authorizationpolicies'],
  Telemetry: ['telemetry.istio.io/v1', 'telemetries'],
  WasmPlugin: ['extensions.istio.io/v1alpha1', 'wasmplugins'],
  TrafficExtension: ['extensions.istio.io/v1alpha1', 'trafficextensions'],
  HTTPRoute: ['gateway.networking.k8s.io/v1', 'httproutes'],
  GRPCRoute: ['gateway.networking.k8s.io/v1', 'grpcroutes'],
  // Two API groups have a kind Gateway. The second one gets its group in the name, as in kubectl.
  'Gateway.gateway.networking.k8s.io': ['gateway.networking.k8s.io/v1', 'gateways'],
  // From the Prometheus Operator.
  ServiceMonitor: ['monitoring.coreos.com/v1', 'servicemonitors'],
  PodMonitor: ['monitoring.coreos.com/v1', 'podmonitors'],
  PrometheusRule: ['monitoring.coreos.com/v1', 'prometheusrules'],
  Prometheus: ['monitoring.coreos.com/v1', 'prometheuses'],
  // From Cilium and Calico. Calico's own API server and the definitions behind it have a group each.
  CiliumNetworkPolicy: ['cilium.io/v2', 'ciliumnetworkpolicies'],
  'NetworkPolicy.projectcalico.org': ['projectcalico.org/v3', 'networkpolicies'],
  'NetworkPolicy.crd.projectcalico.org': ['crd.projectcalico.org/v1', 'networkpolicies'],
  // From Chaos Mesh.
  PodChaos: ['chaos-mesh.org/v1alpha1', 'podchaos'],
  NetworkChaos: ['chaos-mesh.org/v1alpha1', 'networkchaos'],
  StressChaos: ['chaos-mesh.org/v1alpha1', 'stresschaos'],
  IOChaos: ['chaos-mesh.org/v1alpha1', 'iochaos'],
  TimeChaos: ['chaos-mesh.org/v1alpha1', 'timechaos'],
  // From Argo CD.
  Application: ['argoproj.io/v1alpha1', 'applications'],
  // From Argo Rollouts and Flagger.
  Rollout: ['argoproj.io/v1alpha1', 'rollouts'],
  AnalysisTemplate: ['argoproj.io/v1alpha1', 'analysistemplates'],
  Canary: ['flagger.app/v1beta1', 'canaries'],
  MetricTemplate: ['flagger.app/v1beta1', 'metrictemplates'],
  // From Flux.
  Kustomization: ['kustomize.toolkit.fluxcd.io/v1', 'kustomizations'],
  HelmRelease: ['helm.toolkit.fluxcd.io/v2', 'helmreleases'],
  GitRepository: ['source.toolkit.fluxcd.io/v1', 'gitrepositories'],
  OCIRepository: ['source.toolkit.fluxcd.io/v1', 'ocirepositories'],
  Bucket: ['source.toolkit.fluxcd.io/v1', 'buckets'],
  HelmRepository: ['source.toolkit.fluxcd.io/v1', 'helmrepositories'],
  HelmChart: ['source.toolkit.fluxcd.io/v1', 'helmcharts'],
  // Cluster-wide kinds, which have no namespace.
  CiliumClusterwideNetworkPolicy: ['cilium.io/v2', 'ciliumclusterwidenetworkpolicies'],
  'GlobalNetworkPolicy.projectcalico.org': ['projectcalico.org/v3', 'globalnetworkpolicies'],
  'GlobalNetworkPolicy.crd.projectcalico.org': ['crd.projectcalico.org/v1', 'globalnetworkpolicies'],
  AdminNetworkPolicy: ['policy.networking.k8s.io/v1alpha1', 'adminnetworkpolicies'],
  BaselineAdminNetworkPolicy: ['policy.networking.k8s.io/v1alpha1', 'baselineadminnetworkpolicies'],
  GatewayClass: ['gateway.networking.k8s.io/v1', 'gatewayclasses'],
  CustomResourceDefinition: ['apiextensions.k8s.io/v1', 'customresourcedefinitions'],
  MutatingWebhookConfiguration: ['admissionregistration.k8s.io/v1', 'mutatingwebhookconfigurations'],
  ValidatingWebhookConfiguration: ['admissionregistration.k8s.io/v1', 'validatingwebhookconfigurations'],
  ValidatingAdmissionPolicy: ['admissionregistration.k8s.io/v1', 'validatingadmissionpolicies'],
  ValidatingAdmissionPolicyBinding: ['admissionregistration.k8s.io/v1', 'validatingadmissionpolicybindings'],
  ClusterRole: ['rbac.authorization.k8s.io/v1', 'clusterroles'],
  ClusterRoleBinding: ['rbac.authorization.k8s.io/v1', 'clusterrolebindings'],
} as const
export type Kind = keyof typeof resourcePaths

export function apiVersionOf(kind: Kind): string {
  return resourcePaths[kind][0]
}

export function groupOf(apiVersion: string): string {
  return apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''
}

/** The key in `resourcePaths` for the object's group and kind; undefined if the table lacks it. */
export function kindOf({ apiVersion, kind }: Pick<KubeObject, 'apiVersion' | 'kind'>): Kind | undefined {
  const group = groupOf(apiVersion)
  return [kind, `${kind}.${group}`].find(
    (key): key is Kind => key in resourcePaths && groupOf(resourcePaths[key as Kind][0]) === group,
  )
}

/** The object's name in messages: `Kind namespace/name`, or `Kind name` for a cluster-wide object. */
export function titleOf({ kind, metadata: { namespace, name } }: KubeObject): string {
  return namespace === undefined ? `${kind} ${name}` : `${kind} ${namespace}/${name}`
}

/** Identifies an object among objects of all kinds; also readable. */
export function keyOf(object: KubeObject): string {
  return `${kindOf(object) ?? object.kind} ${object.metadata.namespace ?? ''}/${object.metadata.name}`
}

/** The path at which the API server lists what it serves of the kind's group, and the kind's name there. */
export function discoveryOf(kind: Kind): { path: string; name: string } {
  const [version, name] = resourcePaths[kind]
  return { path: version.includes('/') ? `/apis/${version}` : `/api/${version}`, name }
}

/** The path of a collection, or of one object in it, on the API server. */
export function pathOf(kind: Kind, namespace?: string, name?: string): string {
  const { path, name: plural } = discoveryOf(kind)
  return [
    path,
    ...(namespace === undefined ? [] : ['namespaces', namespace]),
    plural,
    ...(name === undefined ? [] : [name]),
  ].join('/')
}
