// Finds what an uninstall would remove and restart, and what prevents it. Reads only.
import { fieldManager, type Cluster } from '../cluster/client.ts'
import { belongs, managedByLabel, manager, outcomeLabel } from '../cluster/labels.ts'
import {
  groupOf,
  systemNamespace,
  titleOf,
  type KubeObject,
  type Lease,
  type Pod,
  type Workload,
} from '../cluster/objects.ts'
import { isLive } from '../cluster/pods.ts'
import { ConfigError } from '../config/error.ts'
import type { WorkloadRef } from '../config/values/kubernetes.ts'
import { selectWorkloads } from '../mesh/inject.ts'
import { injectionLabel, revisionLabel } from '../mesh/labels.ts'
import { hasSidecar } from '../mesh/sidecar.ts'
import { listObservability, withoutUsedNamespaces } from '../observability/owned.ts'
import { unusedProviders, type AddedProviders } from '../observability/providers.ts'
import { isOurs, listPolicies, ownerNamespaceLabel, ownerTitle, repositoryOf } from '../policies/owned-objects.ts'
import { listNames } from '../runtime/errors.ts'
import { canDeleteSystemNamespace, isIstios, listMeshObjects } from './istio-objects.ts'

export type Inventory = {
  /** The Leases of promotions, whose guards are deleted with them, and the records of how promotions ended. */
  promotions: KubeObject[]
  policies: KubeObject[]
  /** What the section `observability` has brought. */
  observability: KubeObject[]
  /** Extension providers in a mesh config that stays. */
  providers: AddedProviders[]
  /** The names of the namespace's labels that ask for sidecars. */
  labels: string[]
  /** The workloads to restart, because their pods have sidecars. */
  workloads: Workload[]
  meshObjects: KubeObject[]
  deletesSystemNamespace: boolean
  /** The control plane stays, and with it everything that mesh-canary did not make. */
  keepsMesh: boolean
}

export type InventoryScope = {
  namespace: string
  /** In the order in which they got their sidecars; they lose them in reverse order. */
  workloads: readonly WorkloadRef[] | 'all'
  /** The repository of this run, if it is known. */
  repository?: string
  /** What else would break without the mesh; one sentence each. */
  faults: readonly string[]
  note: (line: string) => void
}

/** @throws ConfigError if the removal would delete something that belongs to others, or could not remove a sidecar. */
export async function takeInventory(cluster: Cluster, scope: InventoryScope): Promise<Inventory> {
  const { namespace, repository, note } = scope
  const [policies, allPods] = await Promise.all([userPolicies(cluster), cluster.list<Pod>('Pod')])
  const pods = allPods.filter(isInMesh)
  const { ours, others } = byOwner(policies, namespace)
  const { workloads, loosePods } = await workloadsWithSidecars(cluster, scope, pods)
  const promotions = await ownPromotions(cluster, namespace)
  const faults = [
    ...scope.faults,
    ...policyFaults(others),
    ...promotionFaults(promotions),
    ...repositoryFaults(ours, repository),
    ...namespaceFaults(pods, namespace),
    ...loosePodFaults(loosePods),
  ]
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return {
    promotions,
    policies: ours,
    observability: await ownObservability(cluster, scope),
    workloads,
    labels: await injectionLabels(cluster, namespace),
    meshObjects: await listMeshObjects(cluster),
    providers: [],
    deletesSystemNamespace: await canDeleteSystemNamespace(cluster, note),
    keepsMesh: false,
  }
}

/**
 * What mesh-canary made in a mesh that somebody else installed: policies, Leases, and the injection labels with the
 * sidecars that they brought.
 */
export async function takeOwnInventory(cluster: Cluster, scope: InventoryScope): Promise<Inventory> {
  const { namespace, repository, note } = scope
  const { ours } = byOwner(await userPolicies(cluster), namespace)
  const labels = await ownInjectionLabels(cluster, namespace)
  if (labels.length === 0) note(`the sidecars in ${namespace} stay, because mesh-canary did not label the namespace`)
  const pods = labels.length === 0 ? [] : (await cluster.list<Pod>('Pod', namespace)).filter(isInMesh)
  const { workloads, loosePods } = await workloadsWithSidecars(cluster, scope, pods)
  const promotions = await ownPromotions(cluster, namespace)
  const faults = [
    ...scope.faults,
    ...promotionFaults(promotions),
    ...repositoryFaults(ours, repository),
    ...loosePodFaults(loosePods),
  ]
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return {
    promotions,
    policies: ours,
    observability: await ownObservability(cluster, scope),
    workloads,
    labels,
    providers: await unusedProviders(cluster, (telemetry) => isOfNamespace(telemetry, namespace)),
    meshObjects: [],
    deletesSystemNamespace: false,
    keepsMesh: true,
  }
}

async function ownPromotions(cluster: Cluster, namespace: string): Promise<KubeObject[]> {
  const lists = await Promise.all([
    cluster.list<KubeObject>('Lease', namespace, { labelSelector: `${managedByLabel}=${manager}` }),
    cluster.list<KubeObject>('ConfigMap', namespace, { labelSelector: outcomeLabel }),
  ])
  return lists.flat()
}

/** In the order in which they are created. A namespace with objects of others stays. */
async function ownObservability(cluster: Cluster, { namespace, note }: InventoryScope): Promise<KubeObject[]> {
  const all = await listObservability(cluster, [namespace])
  return withoutUsedNamespaces(
    cluster,
    all.filter((object) => isOfNamespace(object, namespace)),
    note,
  )
}

/** The policies without Istio's own, which are installed and removed with it. */
async function userPolicies(cluster: Cluster): Promise<KubeObject[]> {
  return (await listPolicies(cluster, undefined)).filter((object) => !isIstios(object))
}

/**
 * `ours`: the policies of this namespace's configs. `others`: the other policies that Istio's CRDs would take with
 * them.
 */
function byOwner(policies: KubeObject[], namespace: string): { ours: KubeObject[]; others: KubeObject[] } {
  const isGatewayApi = ({ apiVersion }: KubeObject) => groupOf(apiVersion) === 'gateway.networking.k8s.io'
  return {
    ours: policies.filter((object) => isOfNamespace(object, namespace)),
    others: policies.filter((object) => !isOfNamespace(object, namespace) && !isGatewayApi(object)),
  }
}

/** True for an object of one of this namespace's configs. */
function isOfNamespace(object: KubeObject, namespace: string): boolean {
  return isOurs(object) && (object.metadata.labels?.[ownerNamespaceLabel] ?? object.metadata.namespace) === namespace
}

/** A pod that has ended or is being deleted no longer needs the mesh. */
function isInMesh(pod: Pod): boolean {
  return hasSidecar(pod) && isLive(pod)
}

/** Without its routes, a promotion under way would have to return the traffic by others. */
function promotionFaults(promotions: (KubeObject & Pick<Lease, 'spec'>)[]): string[] {
  return promotions.flatMap((object) => {
    const holder = object.spec?.holderIdentity ?? ''
    if (holder === '') return []
    return [
      `uninstall: ${holder} holds the ${titleOf(object)} of a promotion; wait for its end, ` +
        'or return the traffic to stable first (stage rollback)',
    ]
  })
}

function policyFaults(others: KubeObject[]): string[] {
  if (others.length === 0) return []
  return [
    "uninstall: removing Istio's CRDs would also delete policies that belong to no config of this namespace: " +
      `${listNames(others.map(titleOf))}; delete them first, or keep the mesh`,
  ]
}

function repositoryFaults(ours: KubeObject[], repository: string | undefined): string[] {
  const theirs = ours.filter((object) => ![undefined, repository].includes(repositoryOf(object)))
  if (repository === undefined || theirs.length === 0) return []
  return [
    'uninstall: the namespace also has policies of other repositories: ' +
      `${listNames(theirs.map((object) => `${titleOf(object)} (${ownerTitle(object)})`))}; ` +
      'delete them there first, or keep the mesh',
  ]
}

function namespaceFaults(pods: Pod[], namespace: string): string[] {
  const namespaces = [...new Set(pods.map(({ metadata }) => metadata.namespace ?? ''))].filter(
    (each) => each !== namespace && each !== systemNamespace,
  )
  if (namespaces.length === 0) return []
  return [
    `uninstall: pods in other namespaces still have sidecars (${listNames(namespaces)}) and would lose the mesh; ` +
      'remove their sidecars first, or keep the mesh',
  ]
}

function loosePodFaults(pods: Pod[]): string[] {
  if (pods.length === 0) return []
  return [
    'uninstall: these pods have sidecars, but belong to no Deployment, StatefulSet or DaemonSet that could be ' +
      `restarted: ${listNames(pods.map(podTitle))}; delete them first, or wait until they end`,
  ]
}

function podTitle(pod: Pod): string {
  return titleOf({ ...pod, kind: 'Pod' })
}

/**
 * Callers got their sidecars before the workloads that they call, so a workload loses its sidecar before its callers.
 * `loosePods` belong to no workload.
 */
async function workloadsWithSidecars(
  cluster: Cluster,
  { namespace, workloads: refs }: InventoryScope,
  pods: Pod[],
): Promise<{ workloads: Workload[]; loosePods: Pod[] }> {
  const named = refs === 'all' ? [] : [...(await selectWorkloads(cluster, namespace, refs))].reverse()
  const rest = (await selectWorkloads(cluster, namespace, 'all')).filter(
    ({ kind, metadata }) => !named.some((one) => one.kind === kind && one.metadata.name === metadata.name),
  )
  const all = [...named, ...rest]
  const own = pods.filter(({ metadata }) => metadata.namespace === namespace)
  return {
    workloads: all.filter((workload) => own.some((pod) => belongs(workload, pod))),
    loosePods: own.filter((pod) => !all.some((workload) => belongs(workload, pod))),
  }
}

async function injectionLabels(cluster: Cluster, namespace: string): Promise<string[]> {
  const labels = (await cluster.get<KubeObject>('Namespace', undefined, namespace))?.metadata.labels ?? {}
  return [injectionLabel, revisionLabel].filter((label) => label in labels && labels[label] !== 'disabled')
}

/** Those of the labels that mesh-canary set, by its field manager. */
async function ownInjectionLabels(cluster: Cluster, namespace: string): Promise<string[]> {
  const object = await cluster.get<KubeObject>('Namespace', undefined, namespace)
  const written = (object?.metadata.managedFields ?? [])
    .filter(({ manager }) => manager === fieldManager)
    .flatMap(({ fieldsV1 = {} }) => Object.keys(labelFieldsIn(fieldsV1)))
  return (await injectionLabels(cluster, namespace)).filter((name) => written.includes(`f:${name}`))
}

function labelFieldsIn(fields: Record<string, unknown>): object {
  const metadata = fields['f:metadata'] as { 'f:labels'?: object } | undefined
  return metadata?.['f:labels'] ?? {}
}

export function labelTitle(name: string, namespace: string): string {
  return `label ${name} of Namespace ${namespace}`
}

/** One entry for each object that should be gone and still exists. */
export async function listRemains(
  cluster: Cluster,
  namespace: string,
  { deletesSystemNamespace, keepsMesh, labels, observability }: Inventory,
): Promise<string[]> {
  // A namespace ends some time after its deletion, with all that is in it.
  const namespaces = await remainingNamespaces(cluster, observability)
  if (keepsMesh)
    return (await injectionLabels(cluster, namespace))
      .filter((name) => labels.includes(name))
      .map((name) => labelTitle(name, namespace))
      .concat(namespaces)
  const pods = await cluster.list<Pod>('Pod', namespace)
  const system = deletesSystemNamespace
    ? await cluster.get<KubeObject>('Namespace', undefined, systemNamespace)
    : undefined
  return [
    ...(await listMeshObjects(cluster)).map(titleOf),
    ...pods.filter(isInMesh).map((pod) => `sidecar of ${podTitle(pod)}`),
    ...(system ? [`Namespace ${systemNamespace}`] : []),
    ...namespaces,
    ...(await injectionLabels(cluster, namespace)).map((name) => labelTitle(name, namespace)),
  ]
}

async function remainingNamespaces(cluster: Cluster, objects: readonly KubeObject[]): Promise<string[]> {
  const deleted = objects.filter(({ kind }) => kind === 'Namespace')
  const live = await Promise.all(
    deleted.map(({ metadata }) => cluster.get<KubeObject>('Namespace', undefined, metadata.name)),
  )
  return deleted.filter((_, i) => live[i] !== undefined).map(titleOf)
}
