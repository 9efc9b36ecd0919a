// Finds objects in the cluster that contradict what a run would write, before the run changes anything.
import { managedByLabel, manager } from '../../cluster/labels.ts'
import type { Cluster } from '../../cluster/client.ts'
import { keyOf, titleOf, type DestinationRule, type KubeObject } from '../../cluster/objects.ts'
import { ConfigError } from '../../config/error.ts'
import { servicesOf, splitSubsets } from '../../config/names.ts'
import type { Config } from '../../config/schema.ts'
import { hostOf } from '../compile/names.ts'
import { configConflicts } from './config-conflicts.ts'
import { desired, type Desired } from '../desired.ts'
import { keepWeights, weightRules } from '../weights/kept-weights.ts'
import type { LiveRoutes } from '../live-routes.ts'
import { keyFor, type Sourced } from '../manifests/manifests.ts'
import { contendedHost } from '../merge/merge-hosts.ts'
import { fromConfig } from '../merge/merge-services.ts'
import { olderGatewayFaults } from './older-gateways.ts'
import { namespaceConflicts } from './namespace-conflicts.ts'
import { liveCounterparts, foreignNames } from '../plan.ts'
import { fullHost } from '../routes.ts'
import { isOf, isOfEarlier, isOurs, isUnclaimed, mayWrite, ownerTitle, type Owner } from '../owned-objects.ts'

/** One sentence for each contradiction, including those between the config's own sources. */
export async function contradictions(
  cluster: Cluster,
  config: Config,
  live: LiveRoutes,
  owner: Owner,
): Promise<string[]> {
  try {
    const target = desired(config, live)
    // An object that conflicts by its host needs no second sentence about its name.
    const hosts = hostFaults(config, target, live, owner)
    const general = [...(await configConflicts(cluster, target.objects, owner)), ...undefinedSubsets(config, target)]
    if (hosts.length > 0) return [...hosts, ...general]
    const counterparts = await liveCounterparts(cluster, target.objects)
    const found = [...foreignNames(counterparts, owner), ...general]
    if (found.length > 0) return found
    return [
      ...lostVersions(config, target, counterparts),
      ...(await olderGatewayFaults(cluster, target.objects, config, owner)),
      ...(await namespaceConflicts(cluster, target, owner)).faults,
    ]
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n')
    throw error
  }
}

/** Versions that serve since a promotion, and that a route of this run would send nothing. */
function lostVersions(config: Config, { objects }: Desired, live: readonly (KubeObject | undefined)[]): string[] {
  const rules = weightRules(config)
  return objects.flatMap((object, i) => keepWeights(object, live[i], rules).faults)
}

/**
 * Objects that stay in the cluster and have a host for which this run writes an object. The mesh follows the older of
 * two.
 */
function hostFaults(
  config: Config,
  { objects, sources }: Desired,
  { virtualServices, destinationRules }: LiveRoutes,
  owner: Owner,
): string[] {
  const written = new Set(objects.map(keyOf))
  const isReplaced = (object: KubeObject) =>
    written.has(keyOf(object)) ? mayWrite(owner, object) : owner.prunes && isOf(owner, object)
  const remaining = [...virtualServices, ...destinationRules].filter((object) => !isReplaced(object))
  const sentences = sources.flatMap((ours) =>
    remaining.flatMap((theirs) => {
      const host = contendedHost(ours.object, theirs)
      return host === undefined
        ? []
        : [
            `${keyFor(ours)}: the host ${host} already has the ${titleOf(theirs)}, ${ownerText(theirs, owner)}, ` +
              `and of two for one host the mesh follows the older; ${remedy(ours, theirs, written.has(keyOf(theirs)), config)}`,
          ]
    }),
  )
  return [...new Set(sentences)]
}

/** False for the object of a canary whose service has no policies in the config. */
function hasPolicies({ services = {} }: Config, { metadata }: KubeObject): boolean {
  return Object.hasOwn(services, metadata.name)
}

function ownerText(object: KubeObject, owner: Owner): string {
  if (!isOurs(object)) return 'which mesh-canary does not manage'
  if (isUnclaimed(object)) return 'which was handed over, but under another name than the one this run writes'
  if (isOf(owner, object)) return 'which an earlier run without a `name` wrote'
  return isOfEarlier(owner, object)
    ? 'which an earlier version of mesh-canary wrote, for this config or for one of the same path'
    : `which another config of mesh-canary wrote (${ownerTitle(object)})`
}

function remedy({ object, source }: Sourced, theirs: KubeObject, sameName: boolean, config: Config): string {
  if (isOurs(theirs) && !isUnclaimed(theirs))
    return 'remove the host from one of the two, give both the same `name`, or delete that object'
  if (source === fromConfig && !hasPolicies(config, object)) {
    const versions = (splitSubsets(config, object.metadata.name) ?? []).join(' and ')
    return object.kind === 'DestinationRule'
      ? `add the subsets ${versions} with their labels to it, and it is used as it is`
      : `give its routes ${versions} as destinations with weights, and the promotion moves those`
  }
  const into = source === fromConfig ? `\`services.${object.metadata.name}\`` : source
  const handOver = sameName ? `, or label it ${managedByLabel}=${manager} to hand it over` : ''
  return `move its policies into ${into} and delete it${handOver}`
}

/** Those of every DestinationRule for the host. */
function subsetsOf(objects: readonly KubeObject[], host: string): Set<string> {
  const rules = objects.filter(({ kind }) => kind === 'DestinationRule') as DestinationRule[]
  const own = rules.filter(({ metadata, spec }) => fullHost(spec.host, metadata.namespace ?? '') === host)
  return new Set(own.flatMap(({ spec }) => (spec.subsets ?? []).map(({ name }) => name)))
}

/** Subsets that get traffic now but that the config does not define: its policies would move that traffic. */
function undefinedSubsets(config: Config, { kept, objects }: Desired): string[] {
  return Object.entries(servicesOf(config)).flatMap(([service, { traffic, weights }]) => {
    const defined = subsetsOf(objects, hostOf(service, config.namespace))
    const lost = Object.entries(kept[service] ?? {}).filter(([subset, weight]) => weight > 0 && !defined.has(subset))
    if (traffic && (weights === 'from-file' || !splitSubsets(config, service))) return []
    return lost.map(
      ([subset, weight]) =>
        `services.${service}.subsets: the subset ${subset} gets ${weight}% of the traffic now, but is not defined ` +
        `here; ` +
        'add it with its labels, or set `traffic` with `weights: from-file` to move the traffic',
    )
  })
}
