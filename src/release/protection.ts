// Reads what selects stable's pods by their labels, and plans the copies that protect and watch the canary as well.
import { lacksRights, isNotFound } from '../cluster/api-error.ts'
import { autoscalerOf } from '../cluster/autoscalers.ts'
import type { Cluster } from '../cluster/client.ts'
import { systemNamespace, type DestinationRule, type Kind, type KubeObject } from '../cluster/objects.ts'
import { hostOf } from '../policies/compile/names.ts'
import { isOurs } from '../policies/owned-objects.ts'
import { fullHost } from '../policies/routes.ts'
import { canaryAutoscaler } from './autoscaler.ts'
import { planCopies, type Versions } from './selector-copies.ts'
import { copyForCanaryName, createdCanaryLabel } from '../config/names.ts'
import { labelsOfCopy } from './deployment.ts'
import type { Release } from './plan.ts'

/** Without one of these, the canary would be open where stable is not. */
const protecting = ['NetworkPolicy', 'AuthorizationPolicy', 'PeerAuthentication', 'RequestAuthentication'] as const
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

/** `faults`: why the canary would have less protection. `unseen`: kinds that this account may not read. */
export type Protection = { copies: KubeObject[]; faults: string[]; unseen: string[] }

export async function protectionOf(cluster: Cluster, release: Release): Promise<Protection> {
  const { namespace = '' } = release.stable.metadata
  const unseen: string[] = []
  const read = async (kind: Kind) => {
    const places = meshWide.includes(kind) && namespace !== systemNamespace ? [namespace, systemNamespace] : [namespace]
    return (await Promise.all(places.map((place) => readAll(cluster, kind, place, unseen)))).flat()
  }
  const objects = (await Promise.all([...protecting, ...watching].map(read))).flat()
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
async function readAll(cluster: Cluster, kind: Kind, namespace: string, unseen: string[]): Promise<KubeObject[]> {
  return cluster.list<KubeObject>(kind, namespace).catch((error: unknown): KubeObject[] => {
    if (isNotFound(error)) return []
    if (!lacksRights(error)) throw error
    unseen.push(`${kind} in ${namespace}`)
    return []
  })
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
    stable: stable.spec.template.metadata?.labels ?? {},
    canary: canary.spec.template.metadata?.labels ?? {},
    ...(canaryService
      ? { service: { stable: service.metadata.labels ?? {}, canary: canaryService.metadata.labels ?? {} } }
      : {}),
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
