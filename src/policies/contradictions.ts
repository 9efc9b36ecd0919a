// Finds objects in the cluster that contradict what a run would write, before the run changes anything.
import { managedByLabel, manager } from '../cluster/labels.ts'
import type { Cluster } from '../cluster/client.ts'
import { keyOf, titleOf, type KubeObject } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { servicesOf, splitSubsets } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { configConflicts } from './config-conflicts.ts'
import { desired, fromConfig, type Desired } from './desired.ts'
import type { LiveRoutes } from './live.ts'
import type { Sourced } from './manifests.ts'
import { contendedHost } from './merge-hosts.ts'
import { liveCounterparts, foreignNames } from './plan.ts'
import { isOf, isOfEarlier, isOurs, isUnclaimed, mayWrite, ownerTitle, type Owner } from './prune.ts'

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
    const hosts = hostFaults(target, live, owner)
    return [
      ...(hosts.length > 0 ? hosts : foreignNames(await liveCounterparts(cluster, target.objects), owner)),
      ...(await configConflicts(cluster, target.objects, owner)),
      ...undefinedSubsets(config, target),
    ]
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n')
    throw error
  }
}

/**
 * Objects that stay in the cluster and have a host for which this run writes an object. The mesh follows the older of
 * two.
 */
function hostFaults(
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
            `${sourceKey(ours)}: the host ${host} already has the ${titleOf(theirs)}, ${ownerText(theirs, owner)}, ` +
              `and of two for one host the mesh follows the older; ${remedy(ours, theirs, written.has(keyOf(theirs)))}`,
          ]
    }),
  )
  return [...new Set(sentences)]
}

/** A compiled object for a host in the mesh has the name of its service. */
function sourceKey({ object, source }: Sourced): string {
  return source === fromConfig ? `services.${object.metadata.name}` : `policies: ${source}`
}

function ownerText(object: KubeObject, owner: Owner): string {
  if (!isOurs(object)) return 'which mesh-canary does not manage'
  if (isUnclaimed(object)) return 'which was handed over, but under another name than the one this run writes'
  if (isOf(owner, object)) return 'which an earlier run without a `name` wrote'
  return isOfEarlier(owner, object)
    ? 'which an earlier version of mesh-canary wrote, for this config or for one of the same path'
    : `which another config of mesh-canary wrote (${ownerTitle(object)})`
}

function remedy({ object, source }: Sourced, theirs: KubeObject, sameName: boolean): string {
  if (isOurs(theirs) && !isUnclaimed(theirs))
    return 'remove the host from one of the two, give both the same `name`, or delete that object'
  const into = source === fromConfig ? `\`services.${object.metadata.name}\`` : source
  const handOver = sameName ? `, or label it ${managedByLabel}=${manager} to hand it over` : ''
  return `move its policies into ${into} and delete it${handOver}`
}

/** Subsets that get traffic now but that the config does not define: its policies would move that traffic. */
function undefinedSubsets(config: Config, { kept }: Desired): string[] {
  return Object.entries(servicesOf(config)).flatMap(([service, { subsets = {}, traffic }]) => {
    const lost = Object.entries(kept[service] ?? {}).filter(
      ([subset, weight]) => weight > 0 && !Object.hasOwn(subsets, subset),
    )
    if (traffic && !splitSubsets(config, service)) return []
    return lost.map(
      ([subset, weight]) =>
        `services.${service}.subsets: the subset ${subset} gets ${weight}% of the traffic now, but is not defined ` +
        `here; ` +
        'add it with its labels, or set `traffic` to move the traffic',
    )
  })
}
