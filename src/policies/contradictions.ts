// What is in the cluster and cannot stand beside what a run would write there; known before anything is touched.
import { managedByLabel, manager } from '../cluster/labels.ts'
import type { Cluster } from '../cluster/client.ts'
import { keyOf, type KubeObject } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { servicesOf, splitSubsets } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { desired, fromConfig, type Desired } from './desired.ts'
import type { LiveRoutes } from './live.ts'
import type { Sourced } from './manifests.ts'
import { contendedHost } from './merge.ts'
import { namesakes, foreignNames } from './plan.ts'
import { configLabel, isOf, isOurs, isUnclaimed, type Owner } from './prune.ts'

/** A sentence each; those of the config's own sources among them. */
export async function contradictions(
  cluster: Cluster,
  config: Config,
  live: LiveRoutes,
  owner: Owner,
): Promise<string[]> {
  try {
    const wanted = desired(config, live)
    // Of an object that is in the way for its host, its name need not be told as well.
    const hosts = strangers(wanted, live, owner)
    return [
      ...(hosts.length > 0 ? hosts : foreignNames(await namesakes(cluster, wanted.objects), owner)),
      ...orphans(config, wanted),
    ]
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n')
    throw error
  }
}

/** An object that stays, and has a host for which this run writes one: of two, the mesh follows the older. */
function strangers(
  { objects, sources }: Desired,
  { virtualServices, destinationRules }: LiveRoutes,
  owner: Owner,
): string[] {
  const written = new Set(objects.map(keyOf))
  const own = (object: KubeObject) => isOf(owner, object) || isUnclaimed(object)
  const goes = (object: KubeObject) => (written.has(keyOf(object)) ? own(object) : owner.prunes && isOf(owner, object))
  const staying = [...virtualServices, ...destinationRules].filter((object) => !goes(object))
  const sentences = sources.flatMap((ours) =>
    staying.flatMap((theirs) => {
      const host = contendedHost(ours.object, theirs)
      return host === undefined
        ? []
        : [
            `${placeOf(ours)}: the host ${host} already has the ${theirs.kind} ${theirs.metadata.namespace ?? ''}/${theirs.metadata.name}, ${whose(theirs, owner)}, and of two for one host the mesh follows the older; ${remedy(ours, theirs, written.has(keyOf(theirs)))}`,
          ]
    }),
  )
  return [...new Set(sentences)]
}

/** The compiled objects for a host in the mesh have the name of their service. */
function placeOf({ object, source }: Sourced): string {
  return source === fromConfig ? `services.${object.metadata.name}` : `policies: ${source}`
}

function whose(object: KubeObject, owner: Owner): string {
  if (!isOurs(object)) return 'which is not ours'
  if (isUnclaimed(object)) return 'which was handed over, but under another name than that of ours'
  return isOf(owner, object)
    ? 'which an earlier run without a `name` wrote'
    : `which another config of mesh-canary wrote (${configLabel}=${object.metadata.labels?.[configLabel]})`
}

function remedy({ object, source }: Sourced, theirs: KubeObject, sameName: boolean): string {
  if (isOurs(theirs) && !isUnclaimed(theirs))
    return 'take the host out of one of the two, give both the same `name`, or delete that object'
  const into = source === fromConfig ? `\`services.${object.metadata.name}\`` : source
  return `move its policies into ${into} and delete it${sameName ? `, or label it ${managedByLabel}=${manager} to hand it over` : ''}`
}

/** Subsets that hold traffic now and that the config does not define: writing its policies would move that traffic. */
function orphans(config: Config, { kept }: Desired): string[] {
  return Object.entries(servicesOf(config)).flatMap(([service, { subsets = {}, traffic }]) => {
    const lost = Object.entries(kept[service] ?? {}).filter(([subset, weight]) => weight > 0 && !(subset in subsets))
    if (traffic && !splitSubsets(config, service)) return []
    return lost.map(
      ([subset, weight]) =>
        `services.${service}.subsets: the subset ${subset} holds ${weight}% of the traffic now and is not defined here; add it with its labels, or state \`traffic\` to move it`,
    )
  })
}
