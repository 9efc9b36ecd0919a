// Whether the experiments may run here: the namespace allows them, what they name exists, a fault affects few enough
// pods, and the account has the rights. Only reads.
import type { Cluster, Right } from '../cluster/client.ts'
import { matches, owns } from '../cluster/labels.ts'
import { systemNamespace, type KubeObject, type Pod, type Service, type Workload } from '../cluster/objects.ts'
import { isLive } from '../cluster/pods.ts'
import { missingRights, rightOn, rightsOn } from '../cluster/rights.ts'
import { nearest } from '../config/nearest.ts'
import type { Config, ExperimentConfig } from '../config/schema.ts'
import { hasRunningSidecar } from '../mesh/sidecar.ts'
import { chaosFaults, chaosRights } from './chaos-safety.ts'
import { podsToEvict } from './faults/pod-kill.ts'
import { targetOf, targetWorkload } from './faults/fault-plan.ts'
import { httpFaultOf } from './faults/http-fault.ts'

/** On a namespace, as a label or an annotation with the value `allowed`: experiments may run in it. */
const optIn = 'mesh-canary.io/experiments'

/** One sentence for each fault; empty if all experiments may run. */
export async function experimentClusterFaults(cluster: Cluster, config: Config): Promise<string[]> {
  const { namespace, experiments = {} } = config
  const pods = await cluster.list<Pod>('Pod', namespace)
  const services = await cluster.list<Service>('Service', namespace)
  const faults = await Promise.all(
    Object.entries(experiments).map(async ([name, experiment]) =>
      [
        ...serviceFaults(namespace, experiment, services),
        ...(await podFaults(cluster, namespace, experiment, pods)),
        ...(await clientFaults(cluster, experiment)),
      ].map((fault) => `experiments.${name}.${fault}`),
    ),
  )
  return [
    ...(await namespaceFaults(cluster, namespace, pods)),
    ...faults.flat(),
    ...(await rightFaults(cluster, namespace, Object.values(experiments))),
  ]
}

/** Why the fault must not be injected now: the pods may be other ones than when the run began. Only reads. */
export async function injectionFaults(
  cluster: Cluster,
  namespace: string,
  experiment: ExperimentConfig,
): Promise<string[]> {
  const pods = await cluster.list<Pod>('Pod', namespace)
  return [
    ...(await namespaceFaults(cluster, namespace, pods)),
    ...(await podFaults(cluster, namespace, experiment, pods)),
  ]
}

async function podFaults(
  cluster: Cluster,
  namespace: string,
  experiment: ExperimentConfig,
  pods: Pod[],
): Promise<string[]> {
  return [
    ...(await workloadFaults(cluster, namespace, experiment, pods)),
    ...(await chaosFaults(cluster, namespace, experiment, pods)),
  ]
}

/** Users in a namespace that is misspelt, or whose counters cannot be read, would be missing in the verdict. */
async function clientFaults(cluster: Cluster, { clients = [], inject }: ExperimentConfig): Promise<string[]> {
  const faults = await Promise.all(
    clients.map(async (namespace) => {
      const lacking = await missingRights(cluster, namespace, [...toCount, ...toRead(inject, namespace)])
      if (lacking.length > 0)
        return `this account lacks rights in the namespace ${namespace}: ${lacking.join(', ')}; bind the ClusterRole mesh-canary-callers of deploy/rbac/deliver.yaml there`
      const pods = await cluster.list<Pod>('Pod', namespace)
      const isCaller = (pod: Pod) => pod.metadata.namespace === namespace && hasRunningSidecar(pod)
      return pods.some(isCaller) ? [] : `the namespace ${namespace} has no running pod with a sidecar; correct the name`
    }),
  )
  return faults.flat().map((fault) => `clients: ${fault}`)
}

const toCount: Right[] = [...rightsOn('Pod', 'list', 'watch'), rightOn('Pod', 'get', { subresource: 'proxy' })]

/** The routes and rules there that would keep calls from a fault. */
function toRead(inject: ExperimentConfig['inject'], namespace: string): Right[] {
  if (inject.overload) return namespace === systemNamespace ? [] : rightsOn('DestinationRule', 'list')
  if (!httpFaultOf(inject)) return []
  return [...rightsOn('VirtualService', 'list'), ...gatewayRoutes]
}

async function namespaceFaults(cluster: Cluster, namespace: string, pods: Pod[]): Promise<string[]> {
  const controlPlane = pods.find(({ metadata: { labels } }) => labels?.['app'] === 'istiod')
  if (controlPlane)
    return [
      `experiments: the namespace ${namespace} has a control plane (${controlPlane.metadata.name}); choose another`,
    ]
  const { metadata } = (await cluster.get<KubeObject>('Namespace', undefined, namespace)) ?? {}
  if (metadata?.labels?.[optIn] === 'allowed' || metadata?.annotations?.[optIn] === 'allowed') return []
  return [
    `experiments: the namespace ${namespace} does not allow them; if it may have failures on purpose, run ` +
      `\`kubectl label namespace ${namespace} ${optIn}=allowed\``,
  ]
}

function serviceFaults(namespace: string, experiment: ExperimentConfig, services: Service[]): string[] {
  const names = services.map(({ metadata }) => metadata.name)
  const { service, inject } = experiment
  const [kind] = Object.keys(inject)
  const keys = new Map([
    [targetOf(experiment), `inject.${kind}.service`],
    [service, 'service'],
  ])
  return [...keys].flatMap(([name, key]) =>
    names.includes(name)
      ? []
      : [
          `${key}: the Service ${namespace}/${name} does not exist${nearest(name, names)}; deploy it first, or correct the name`,
        ],
  )
}

async function workloadFaults(
  cluster: Cluster,
  namespace: string,
  experiment: ExperimentConfig,
  pods: Pod[],
): Promise<string[]> {
  const of = targetWorkload(experiment)
  if (!of) return []
  const { inject, maxAffected } = experiment
  const key = `inject.${inject.podKill ? 'podKill' : 'partition'}`
  const workload = await cluster.get<Workload>(of.kind, namespace, of.name)
  if (!workload)
    return [
      `${key}.workload: the ${of.kind} ${namespace}/${of.name} does not exist; deploy it first, or correct the name`,
    ]
  const own = pods.filter((pod) => isLive(pod) && owns(workload, pod)).length
  const selector = workload.spec.selector.matchLabels ?? {}
  const foreign = pods.find((pod) => isLive(pod) && !owns(workload, pod) && matches(selector, pod.metadata.labels))
  if (inject.partition && foreign)
    return [
      `${key}.workload: the pod ${foreign.metadata.name} has the labels that select the pods of ${of.name}, and is not of ` +
        'it, so a policy would cut it off as well; give the two different labels',
    ]
  const affected = inject.podKill ? podsToEvict(inject.podKill, own) : own
  if (own > 0 && affected <= (maxAffected / 100) * own) return []
  const title = `the ${of.kind} ${namespace}/${of.name}`
  if (own === 0) return [`${key}.workload: ${title} has no pods`]
  return [
    `${key}: affects ${affected} of ${own} pods of ${title}, more than \`maxAffected\` (${maxAffected}%); ` +
      'run more replicas, affect fewer, or raise `maxAffected`',
  ]
}

const gatewayRoutes = [rightOn('HTTPRoute', 'list'), rightOn('GRPCRoute', 'list')]

/** What every experiment needs beyond reading pods, services and routes, which the run has done by then. */
const always: Right[] = [
  rightOn('Pod', 'get', { subresource: 'proxy' }),
  ...rightsOn('Pod', 'watch'),
  ...rightsOn('Lease', 'get', 'create', 'patch', 'delete'),
  ...rightsOn('Job', 'get', 'create', 'patch', 'delete'),
  ...rightsOn('ConfigMap', 'get', 'create', 'patch'),
  ...rightsOn('ServiceAccount', 'create', 'patch'),
  ...rightsOn('Role', 'create', 'patch'),
  ...rightsOn('RoleBinding', 'create', 'patch'),
  ...rightsOn('Event', 'create'),
]

function rightsFor({ inject }: ExperimentConfig): Right[] {
  if (inject.chaosMesh) return []
  if (inject.podKill) return [rightOn('Pod', 'create', { subresource: 'eviction' })]
  if (inject.partition) return rightsOn('AuthorizationPolicy', 'get', 'create', 'delete')
  const all = ['get', 'create', 'patch', 'delete']
  if (inject.overload) return rightsOn('DestinationRule', ...all)
  return [...rightsOn('VirtualService', ...all), ...gatewayRoutes]
}

/** `load`: the gateway's sidecars count the requests, and a connection to its port sends them. */
const forLoad: Right[] = [
  ...rightsOn('Service', 'list'),
  ...rightsOn('Pod', 'list', 'watch'),
  rightOn('Pod', 'get', { subresource: 'proxy' }),
  rightOn('Pod', 'create', { subresource: 'portforward' }),
]

/** `overload`: where a service has no rule of its own, that of the mesh is in force, and the rule of the fault repeats it. */
const forMeshRules = rightsOn('DestinationRule', 'list')

async function rightFaults(cluster: Cluster, namespace: string, experiments: ExperimentConfig[]): Promise<string[]> {
  const specific = experiments.flatMap((each) => [...rightsFor(each), ...chaosRights(each, namespace)])
  const atGateway = experiments.flatMap(({ load, inject }) =>
    load ? [...forLoad, ...toRead(inject, systemNamespace)] : [],
  )
  const [own, others, ofMesh] = await Promise.all([
    missingRights(cluster, namespace, [...always, ...specific]),
    missingRights(cluster, systemNamespace, atGateway),
    missingRights(cluster, systemNamespace, experiments.some(({ inject }) => inject.overload) ? forMeshRules : []),
  ])
  return [
    ...lackOf(namespace, own, 'give it those of deploy/rbac/experiment.yaml'),
    ...lackOf(
      systemNamespace,
      others,
      'give it those that deploy/rbac/experiment.yaml names for `load`, or remove `load`',
    ),
    ...lackOf(
      systemNamespace,
      ofMesh,
      'give it those that deploy/rbac/experiment.yaml has for that namespace, so that an overload keeps the rules of the mesh',
    ),
  ]
}

function lackOf(namespace: string, names: string[], remedy: string): string[] {
  if (names.length === 0) return []
  return [`experiments: this account lacks rights in the namespace ${namespace}: ${names.join(', ')}; ${remedy}`]
}
