// Reads what selects stable's pods by their labels, and plans the copies that protect and watch the canary as well.
import { isForbidden, isNotFound } from '../cluster/api-error.ts'
import { autoscalerOf } from '../cluster/autoscalers.ts'
import type { Cluster } from '../cluster/client.ts'
import { systemNamespace, type DestinationRule, type Kind, type KubeObject, type Workload } from '../cluster/objects.ts'
import { hostOf } from '../policies/compile/names.ts'
import { isOurs } from '../policies/owned-objects.ts'
import { fullHost } from '../policies/routes.ts'
import { canaryAutoscaler } from './canary-autoscaler.ts'
import { planCopies, type Versions } from './selector-copies.ts'
import { copyForCanaryName, createdCanaryLabel } from '../config/names.ts'
import { labelsOfCopy } from './deployment.ts'
import type { Labels } from '../canary/workload/selectors.ts'
import type { Release } from './plan.ts'

/** Without one of these, the canary would be open where stable is not. */
const protecting = [
  'NetworkPolicy',
  'CiliumNetworkPolicy',
  'NetworkPolicy.projectcalico.org',
  'AuthorizationPolicy',
  'PeerAuthentication',
  'RequestAuthentication',
] as const
const watching = [
  'PodDisruptionBudget',
  'Telemetry',
  'EnvoyFilter',
  'WasmPlugin',
  'TrafficExtension',
  'ProxyConfig',
  'Sidecar',
  'DestinationRule',
  'ServiceMonitor',
  'PodMonitor',
] as const
/** In the mesh's own namespace, these choose pods of every namespace. */
const meshWide: readonly Kind[] = ['AuthorizationPolicy', 'RequestAuthentication', 'EnvoyFilter', 'WasmPlugin']

const clusterWide = [
  'CiliumClusterwideNetworkPolicy',
  'GlobalNetworkPolicy.projectcalico.org',
  'AdminNetworkPolicy',
  'BaselineAdminNetworkPolicy',
] as const
/** The same policies under another name, which an account may read where it may not read the first. */
const aliases: Partial<Record<Kind, Kind>> = {
  'NetworkPolicy.projectcalico.org': 'NetworkPolicy.crd.projectcalico.org',
  'GlobalNetworkPolicy.projectcalico.org': 'GlobalNetworkPolicy.crd.projectcalico.org',
}

/** `faults`: why the canary would have less protection. `unseen`: kinds that this account may not read. */
export type Protection = { copies: KubeObject[]; faults: string[]; unseen: string[] }

export async function protectionOf(cluster: Cluster, release: Release): Promise<Protection> {
  const { namespace = '' } = release.stable.metadata
  const unseen: string[] = []
  const read = async (kind: Kind) => {
    const places = meshWide.includes(kind) && namespace !== systemNamespace ? [namespace, systemNamespace] : [namespace]
    return (await Promise.all(places.map((place) => readAll(cluster, kind, place, unseen)))).flat()
  }
  const everywhere = clusterWide.map((kind) => readAll(cluster, kind, undefined, unseen))
  const objects = (await Promise.all([...[...protecting, ...watching].map(read), ...everywhere])).flat()
  const lasting = objects.filter(({ metadata }) => metadata.labels?.[createdCanaryLabel] === undefined)
  const { copies, faults } = planCopies(lasting, namespace, versionsOf(release))
  const autoscaler = await autoscalerOf(cluster, release.stable)
  return {
    copies: [
      ...copies,
      ...rulesOfHost(lasting, release),
      ...(autoscaler ? [canaryAutoscaler(release.plan.service, autoscaler, release.canary)] : []),
    ],
    faults: [...faults, ...protecting.filter((kind) => unseen.includes(`${kind} in ${namespace}`)).map(unreadFault)],
    unseen: unseen.filter((each) => !protecting.some((kind) => each === `${kind} in ${namespace}`)),
  }
}

/** An account for one namespace does not see the policies of the mesh's own, which rarely select pods. */
async function readAll(
  cluster: Cluster,
  kind: Kind,
  namespace: string | undefined,
  unseen: string[],
): Promise<KubeObject[]> {
  const alias = aliases[kind]
  const found = await Promise.all([kind, ...(alias ? [alias] : [])].map((each) => tryRead(cluster, each, namespace)))
  const seen = found.filter((each) => typeof each === 'object')
  if (seen.length === 0 && found.includes('unread'))
    unseen.push(namespace === undefined ? kind : `${kind} in ${namespace}`)
  return seen.flat()
}

/** A cluster without Cilium does not have its kinds, and refuses them to an account without rights all the same. */
async function tryRead(
  cluster: Cluster,
  kind: Kind,
  namespace: string | undefined,
): Promise<KubeObject[] | 'absent' | 'unread'> {
  try {
    return await cluster.list<KubeObject>(kind, namespace)
  } catch (error) {
    if (isNotFound(error)) return 'absent'
    if (!isForbidden(error)) throw error
    return (await cluster.serves(kind)) ? 'unread' : 'absent'
  }
}

function unreadFault(kind: string): string {
  return (
    `the run may not read objects of the kind ${kind} in the namespace, so it cannot tell whether the canary would be ` +
    'protected as stable is; give it the rights of deploy/rbac/deliver.yaml'
  )
}

function versionsOf({ plan, stable, canary, service, canaryService }: Release): Versions {
  return {
    name: plan.service,
    stable: labelsOfPods(stable),
    canary: labelsOfPods(canary),
    ...(canaryService
      ? { service: { stable: service.metadata.labels ?? {}, canary: canaryService.metadata.labels ?? {} } }
      : {}),
  }
}

/** Cilium and Calico select by the namespace and the service account of a pod as if those were labels. */
function labelsOfPods({ metadata: { namespace = '' }, spec: { template } }: Workload): Labels {
  return {
    ...template.metadata?.labels,
    'io.kubernetes.pod.namespace': namespace,
    'projectcalico.org/namespace': namespace,
    'projectcalico.org/orchestrator': 'k8s',
    'projectcalico.org/serviceaccount': template.spec.serviceAccountName ?? 'default',
  }
}

/** The user's own rules for the host of stable, such as circuit breakers, for the canary's host. */
function rulesOfHost(objects: readonly KubeObject[], { plan, canary, distinction }: Release): KubeObject[] {
  if (distinction.by === 'subset') return []
  const { name, namespace = '' } = canary.metadata
  return objects
    .filter((object): object is DestinationRule => object.kind === 'DestinationRule' && !isOurs(object))
    .filter(({ spec }) => fullHost(spec.host, namespace) === hostOf(plan.service, namespace))
    .map(({ apiVersion, kind, metadata, spec: { subsets: _, ...spec } }) => ({
      apiVersion,
      kind,
      metadata: {
        name: copyForCanaryName(metadata.name, plan.service),
        namespace,
        labels: labelsOfCopy(metadata.labels, plan.service),
      },
      spec: { ...spec, host: hostOf(name, namespace) },
    }))
}
