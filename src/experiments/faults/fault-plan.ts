// Plans a fault from what is in the cluster: what to write, and how each object is restored. Writes nothing.
import type { Cluster, PatchOperation } from '../../cluster/client.ts'
import { emptyWhenAbsent } from '../../cluster/api-error.ts'
import {
  systemNamespace,
  type DestinationRule,
  type GatewayRoute,
  type KubeObject,
  type VirtualService,
  type Workload,
} from '../../cluster/objects.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { object } from '../../policies/compile/names.ts'
import { chaosManifest } from './chaos-mesh.ts'
import {
  fieldsPatch,
  overloadRule,
  poolFields,
  requireForAll,
  requireNoRuleElsewhere,
  ruleInForce,
  rulesOf,
  type Overload,
} from './connection-pool.ts'
import { withoutLeftLimits, type FaultObject, type Undo } from './fault-object.ts'
import { faultRoutesPatch, faultVirtualService, httpFaultOf } from './http-fault.ts'
import { findHostRoutes, requireNoneElsewhere } from './host-routes.ts'

/** An object to create, or a patch of an object as it was read. */
export type FaultWrite =
  | { kind: 'create'; object: KubeObject }
  | { kind: 'patch'; object: KubeObject; operations: PatchOperation[] }

/** A write, and how its object becomes what it was before. */
export type FaultChange = { write: FaultWrite; undo: Undo }

/** What to restore, in the order of the writes. */
export function objectsOf(changes: FaultChange[]): FaultObject[] {
  return changes.map(({ write: { object }, undo }) => {
    const { kind, metadata } = object
    return { kind: kind as FaultObject['kind'], namespace: metadata.namespace ?? '', name: metadata.name, undo }
  })
}

/** The service whose calls the fault concerns. */
export function targetOf({ service, inject: { delay, abort, overload } }: ExperimentConfig): string {
  return (delay ?? abort ?? overload)?.service ?? service
}

/** The workload whose pods the fault concerns, if it is one of pods. */
export function targetWorkload({ inject: { podKill, partition } }: ExperimentConfig) {
  return (podKill ?? partition)?.workload
}

/** `name`: of the objects that the fault creates. Empty if it only evicts pods. @throws Error if it cannot be injected. */
export async function planFault(
  cluster: Cluster,
  namespace: string,
  name: string,
  experiment: ExperimentConfig,
): Promise<FaultChange[]> {
  const { inject } = experiment
  if (httpFaultOf(inject)) return planHttpFault(cluster, namespace, name, experiment)
  if (inject.overload) return planOverload(cluster, namespace, name, experiment, inject.overload)
  if (inject.partition) return planPartition(cluster, namespace, name, inject.partition.workload)
  if (inject.chaosMesh) return [created(chaosManifest(namespace, name, experiment))]
  return []
}

/** The other namespaces from which calls come that the experiment counts. With `load`, any gateway may have users. */
export function callingNamespaces({ clients = [], load }: ExperimentConfig, namespace: string): string[] {
  return [...new Set([...clients, ...(load ? [systemNamespace] : [])])].filter((each) => each !== namespace)
}

async function planHttpFault(
  cluster: Cluster,
  namespace: string,
  name: string,
  experiment: ExperimentConfig,
): Promise<FaultChange[]> {
  const { inject } = experiment
  const service = targetOf(experiment)
  const [own, ...elsewhere] = await Promise.all(
    [namespace, ...callingNamespaces(experiment, namespace)].map((each) => listRoutes(cluster, each)),
  )
  requireNoneElsewhere(
    elsewhere.flatMap((each) => [...each.virtualServices, ...each.gatewayRoutes]),
    namespace,
    service,
  )
  // An earlier attempt may have written it.
  const others = own!.virtualServices.filter(({ metadata }) => metadata.name !== name)
  const { found, needsOwn } = findHostRoutes(others, own!.gatewayRoutes, namespace, service)
  const patches = found.map((each) =>
    patched(each, faultRoutesPatch(each, namespace, service, inject), { kind: 'routes' }),
  )
  return needsOwn ? [...patches, created(faultVirtualService(namespace, service, name, inject))] : patches
}

async function listRoutes(cluster: Cluster, namespace: string) {
  const [virtualServices, ...gatewayRoutes] = await Promise.all([
    cluster.list<VirtualService>('VirtualService', namespace),
    cluster.list<GatewayRoute>('HTTPRoute', namespace).catch(emptyWhenAbsent),
    cluster.list<GatewayRoute>('GRPCRoute', namespace).catch(emptyWhenAbsent),
  ])
  return { virtualServices, gatewayRoutes: gatewayRoutes.flat() }
}

async function planOverload(
  cluster: Cluster,
  namespace: string,
  name: string,
  experiment: ExperimentConfig,
  overload: Overload,
): Promise<FaultChange[]> {
  const service = targetOf(experiment)
  // Sidecars of the control plane's namespace follow the rule of the service's namespace first, as it is the mesh's own.
  const calling = callingNamespaces(experiment, namespace).filter((each) => each !== systemNamespace)
  const [rules, ...elsewhere] = await Promise.all(
    [namespace, ...calling].map((each) => cluster.list<DestinationRule>('DestinationRule', each)),
  )
  requireNoRuleElsewhere(elsewhere.flat(), namespace, service)
  const others = rules!.filter(({ metadata }) => metadata.name !== name)
  const found = rulesOf(others, namespace, service).map(withoutLeftLimits)
  if (found.length === 0) {
    // Unread is not absent: callers would lose what the mesh's own rule gives them.
    const ofMesh = await cluster.list<DestinationRule>('DestinationRule', systemNamespace).catch(emptyWhenAbsent)
    const replaced = ruleInForce([others, ofMesh], namespace, service)
    if (replaced) requireForAll([replaced])
    return [created(overloadRule(namespace, service, name, overload, replaced))]
  }
  requireForAll(found)
  return found.map((rule) => {
    const fields = poolFields(rule, overload)
    return patched(rule, fieldsPatch(rule, fields), { kind: 'fields', fields })
  })
}

async function planPartition(
  cluster: Cluster,
  namespace: string,
  name: string,
  { kind, name: workloadName }: ReturnType<typeof targetWorkload> & object,
): Promise<FaultChange[]> {
  const workload = await cluster.get<Workload>(kind, namespace, workloadName)
  const matchLabels = workload?.spec.selector.matchLabels ?? {}
  if (Object.keys(matchLabels).length === 0)
    throw new Error(`${kind} ${namespace}/${workloadName} selects its pods by no label, so no policy can select them`)
  // A rule without conditions matches every request and every connection.
  const spec = { selector: { matchLabels }, action: 'DENY', rules: [{}] }
  return [created(object('AuthorizationPolicy', namespace, name, spec))]
}

function created(write: KubeObject): FaultChange {
  return { write: { kind: 'create', object: write }, undo: { kind: 'delete' } }
}

function patched(read: KubeObject, operations: PatchOperation[], undo: Undo): FaultChange {
  return { write: { kind: 'patch', object: read, operations }, undo }
}
