// Plans a fault from what is in the cluster: what to write, and how each object is restored. Writes nothing.
import type { Cluster, PatchOperation } from '../../cluster/client.ts'
import { emptyWhenAbsent, emptyWhenUnread } from '../../cluster/api-error.ts'
import {
  systemNamespace,
  type DestinationRule,
  type KubeObject,
  type VirtualService,
  type Workload,
} from '../../cluster/objects.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { object } from '../../policies/compile/names.ts'
import { chaosManifest } from './chaos-mesh.ts'
import { fieldsPatch, overloadRule, poolFields, ruleInForce, rulesOf } from './connection-pool.ts'
import type { FaultObject, Undo } from './fault-object.ts'
import { faultRoutesPatch, faultVirtualService, httpFaultOf } from './http-fault.ts'
import { findHostRoutes } from './host-routes.ts'

/** An object to create, or a patch of an object as it was read. */
export type FaultWrite =
  | { kind: 'create'; object: KubeObject }
  | { kind: 'patch'; object: KubeObject; operations: PatchOperation[] }

/** `writes` and `objects` have the same order. A fault that only evicts pods has none. */
export type FaultPlan = { writes: FaultWrite[]; objects: FaultObject[] }

/** The service whose calls the fault concerns. */
export function targetOf({ service, inject: { delay, abort, overload } }: ExperimentConfig): string {
  return (delay ?? abort ?? overload)?.service ?? service
}

/** The workload whose pods the fault concerns, if it is one of pods. */
export function targetWorkload({ inject: { podKill, partition } }: ExperimentConfig) {
  return (podKill ?? partition)?.workload
}

/** `name`: of the objects that the fault creates. @throws Error if the fault cannot be injected. */
export async function planFault(
  cluster: Cluster,
  namespace: string,
  name: string,
  experiment: ExperimentConfig,
): Promise<FaultPlan> {
  const { inject } = experiment
  const target = targetOf(experiment)
  if (httpFaultOf(inject)) return planHttpFault(cluster, namespace, name, target, inject)
  if (inject.overload) return planOverload(cluster, namespace, name, target, inject.overload)
  if (inject.partition) return planPartition(cluster, namespace, name, inject.partition.workload)
  if (inject.chaosMesh) return created(chaosManifest(namespace, name, experiment))
  return { writes: [], objects: [] }
}

async function planHttpFault(
  cluster: Cluster,
  namespace: string,
  name: string,
  service: string,
  inject: ExperimentConfig['inject'],
): Promise<FaultPlan> {
  const [virtualServices, httpRoutes] = await Promise.all([
    cluster.list<VirtualService>('VirtualService', namespace),
    cluster.list<KubeObject>('HTTPRoute', namespace).catch(emptyWhenAbsent),
  ])
  // An earlier attempt may have written it.
  const others = virtualServices.filter(({ metadata }) => metadata.name !== name)
  const { found, needsOwn } = findHostRoutes(others, httpRoutes, namespace, service)
  const patches = found.map((each) => ({
    object: each,
    operations: faultRoutesPatch(each, namespace, service, inject),
    undo: { kind: 'routes' as const },
  }))
  const own = needsOwn ? [created(faultVirtualService(namespace, service, name, inject))] : []
  return joined(patched(patches), ...own)
}

async function planOverload(
  cluster: Cluster,
  namespace: string,
  name: string,
  service: string,
  overload: NonNullable<ExperimentConfig['inject']['overload']>,
): Promise<FaultPlan> {
  const rules = await cluster.list<DestinationRule>('DestinationRule', namespace)
  const others = rules.filter(({ metadata }) => metadata.name !== name)
  const found = rulesOf(others, namespace, service)
  if (found.length === 0) {
    const ofMesh = await cluster.list<DestinationRule>('DestinationRule', systemNamespace).catch(emptyWhenUnread)
    const replaced = ruleInForce([others, ofMesh], namespace, service)
    return created(overloadRule(namespace, service, name, overload, replaced))
  }
  return patched(
    found.map((rule) => {
      const fields = poolFields(rule, overload)
      return { object: rule, operations: fieldsPatch(rule, fields), undo: { kind: 'fields', fields } }
    }),
  )
}

async function planPartition(
  cluster: Cluster,
  namespace: string,
  name: string,
  { kind, name: workloadName }: ReturnType<typeof targetWorkload> & object,
): Promise<FaultPlan> {
  const workload = await cluster.get<Workload>(kind, namespace, workloadName)
  const matchLabels = workload?.spec.selector.matchLabels ?? {}
  if (Object.keys(matchLabels).length === 0)
    throw new Error(`${kind} ${namespace}/${workloadName} selects its pods by no label, so no policy can select them`)
  // A rule without conditions matches every request and every connection.
  return created(
    object('AuthorizationPolicy', namespace, name, { selector: { matchLabels }, action: 'DENY', rules: [{}] }),
  )
}

function joined(...plans: FaultPlan[]): FaultPlan {
  return { writes: plans.flatMap(({ writes }) => writes), objects: plans.flatMap(({ objects }) => objects) }
}

function created(write: KubeObject): FaultPlan {
  return { writes: [{ kind: 'create', object: write }], objects: [faultObject(write, { kind: 'delete' })] }
}

function patched(patches: { object: KubeObject; operations: PatchOperation[]; undo: Undo }[]): FaultPlan {
  return {
    writes: patches.map(({ object, operations }) => ({ kind: 'patch', object, operations })),
    objects: patches.map(({ object, undo }) => faultObject(object, undo)),
  }
}

function faultObject({ kind, metadata: { namespace = '', name } }: KubeObject, undo: Undo): FaultObject {
  return { kind: kind as FaultObject['kind'], namespace, name, undo }
}
