// Completes the user's own routes for a canary: where the default route of a host in the mesh sends everything to one
// version, or to the whole service, it gets both versions as destinations, so that a promotion can move its weights.
// Pure.
import { titleOf, type HttpRoute, type KubeObject, type VirtualService } from '../cluster/objects.ts'
import { canariesOf } from '../config/names.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import { ConfigError } from '../config/error.ts'
import { hostOf } from './compile/names.ts'
import { isForMesh } from './merge-hosts.ts'
import { isDefaultRoute } from './match-coverage.ts'
import { fullHost, routesTo, splitsIn } from './routes.ts'

/** @throws ConfigError if the default route goes elsewhere. */
export function withCanarySplits(objects: KubeObject[], config: Config): KubeObject[] {
  const canaries = canariesOf(config).filter(({ stable }) => stable.by === 'subset')
  return objects.map((object) => canaries.reduce((each, canary) => completed(each, canary, config.namespace), object))
}

function completed(object: KubeObject, { service, stable, canary }: CanaryConfig, namespace: string): KubeObject {
  if (!isRouteOf(object, service, namespace)) return object
  if (splitsIn(object, { namespace, service, stable, canary }).length > 0) return object
  const http = object.spec.http ?? []
  const index = http.findIndex(isDefaultRoute)
  const split = splitOf(http[index], object, service, [stable.name, canary.name], namespace)
  return {
    ...object,
    spec: { ...object.spec, http: index < 0 ? [...http, split] : http.with(index, split) },
  } as KubeObject
}

function isRouteOf(object: KubeObject, service: string, namespace: string): object is VirtualService {
  if (object.kind !== 'VirtualService' || !isForMesh(object)) return false
  return routesTo(object as VirtualService, service, namespace)
}

/** All traffic stays where it is: at the version of the route, or at stable if it names none. */
function splitOf(
  route: HttpRoute | undefined,
  object: VirtualService,
  service: string,
  [stable, canary]: [string, string],
  namespace: string,
): HttpRoute {
  const host = hostOf(service, namespace)
  const target = route?.route?.[0] ?? { destination: { host } }
  const { subset = stable } = target.destination
  const isOfVersion = fullHost(target.destination.host, namespace) === host && [stable, canary].includes(subset)
  const isOnly = route === undefined || route.route?.length === 1
  if (!isOnly || !isOfVersion) throw new ConfigError(elsewhere(object, service, stable, canary))
  const to = (name: string) => ({
    ...target,
    destination: { ...target.destination, subset: name },
    weight: name === subset ? 100 : 0,
  })
  return { ...route, route: [to(stable), to(canary)] }
}

function elsewhere(object: VirtualService, service: string, stable: string, canary: string): string {
  return (
    `policies: the default route of the ${titleOf(object)} sends requests for ${service} neither to ${stable} nor to ` +
    `${canary} nor to the whole service, so the canary cannot move them; ` +
    `give that route the destinations ${stable} and ${canary} with weights, or remove the canary`
  )
}
