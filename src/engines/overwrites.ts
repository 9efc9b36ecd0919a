// Policies that this config would write over, beside or away from the routes by which a controller moves traffic.
import type { Cluster } from '../cluster/client.ts'
import { keyOf, titleOf, type DestinationRule, type KubeObject, type VirtualService } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { canariesOf } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { hasPolicies } from '../config/stages.ts'
import { desired } from '../policies/desired.ts'
import { withoutExternalCanaries } from '../policies/weights/external-routes.ts'
import type { LiveRoutes } from '../policies/live-routes.ts'
import { configLabel, obsolete, ownedBy, ownerOf } from '../policies/owned-objects.ts'
import { engineOf } from './engine.ts'
import { engineObjects, withoutGenerated } from './generate/engine-objects.ts'
import { ownedEngineObjects } from './generate/hand-back.ts'
import { movedServices, type Moved } from './moved.ts'
import { serviceOf } from './served.ts'

/** One sentence for each such object. Generated objects are those of the controller. Only reads. */
export async function overwriteFaults(cluster: Cluster, config: Config, live: LiveRoutes): Promise<string[]> {
  if (!hasPolicies(config)) return []
  const moved = await movedServices(cluster, config.namespace, live)
  if (moved.length === 0) return []
  const owner = ownerOf(config)
  const { policies, generated } = objectsOf(config, live)
  const owned = owner.prunes ? [...(await ownedBy(cluster, owner)), ...(await ownedEngineObjects(cluster, owner))] : []
  const deleted = obsolete(owned, [...policies, ...generated])
  const given = new Set([...generated, ...deleted].map(keyOf))
  // An object of a controller that goes with this plan writes nothing any more.
  const others = moved.filter(({ key }) => key === undefined || !given.has(key))
  return [
    ...Object.keys(config.expose ?? {}).flatMap((service) => exposed(config, service, others)),
    ...policies.filter((each) => !given.has(keyOf(each))).flatMap((each) => written(config, each, others)),
    ...deleted.flatMap((each) => removed(each, others)),
  ]
}

function objectsOf(config: Config, live: LiveRoutes): { policies: KubeObject[]; generated: KubeObject[] } {
  try {
    return {
      policies: desired(withoutExternalCanaries(withoutGenerated(config), live, ownerOf(config)), live).objects,
      generated: engineObjects(config).objects,
    }
  } catch (error) {
    // What contradicts itself is reported already, or by the plan.
    if (error instanceof ConfigError) return { policies: [], generated: [] }
    throw error
  }
}

function written(config: Config, object: KubeObject, moved: readonly Moved[]): string[] {
  const services = servicesIn(config, object)
  const isMeant = ({ writes, services: own }: Moved) =>
    writes.includes(keyOf(object)) || own.some((each) => services.includes(each))
  const found = moved.find(isMeant)
  if (!found) return []
  const { title } = engineOf(found.engine)
  return [
    `policies: ${title} moves the traffic of ${found.services.join(', ')} (${found.title}), and the ${titleOf(object)} of this config would ` +
      `change its routes; write that in the objects of ${title}, and remove it here (a section of \`services\` or \`expose\`, or a manifest)`,
  ]
}

/** A gateway that sends requests to the Service itself reaches the pods of both versions. */
function exposed(config: Config, service: string, moved: readonly Moved[]): string[] {
  const found = moved.find(({ services }) => services.includes(service))
  if (!found || canariesOf(config).some((each) => each.service === service)) return []
  const { title } = engineOf(found.engine)
  return [
    `expose.${service}: ${title} moves the traffic of ${service} (${found.title}), and a route from the gateway to all pods would bypass ` +
      `its weights; give the gateway to the routes of ${title}, and remove it here`,
  ]
}

/** The Services that it sets routes for. A canary of this program is another fault. */
function servicesIn(config: Config, object: KubeObject): string[] {
  const { namespace } = config
  const hosts =
    object.kind === 'VirtualService'
      ? ((object as VirtualService).spec.hosts ?? [])
      : object.kind === 'DestinationRule'
        ? [(object as DestinationRule).spec.host]
        : []
  const own = canariesOf(config).map(({ service }) => service)
  return hosts
    .flatMap((host) => serviceOf(host, object.metadata.namespace ?? namespace))
    .filter((service) => object.metadata.namespace === namespace && !own.includes(service))
}

function removed(object: KubeObject, moved: readonly Moved[]): string[] {
  const found = moved.find(({ writes }) => writes.includes(keyOf(object)))
  if (!found) return []
  const { namespace = '', name } = object.metadata
  return [
    `policies: this config no longer asks for the ${titleOf(object)}, so the run would delete it, but ${engineOf(found.engine).title} moves ` +
      `traffic by it (${found.title}); to keep it, remove its mark: ` +
      `\`kubectl -n ${namespace} label ${object.kind.toLowerCase()} ${name} ${configLabel}-\``,
  ]
}
