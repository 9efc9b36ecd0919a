// One VirtualService for each service, for callers in the mesh.
import type { VirtualService } from '../../cluster/objects.ts'
import { servicesOf } from '../../config/names.ts'
import type { Config } from '../../config/schema.ts'
import { httpRoutes, meshRoutes } from './http.ts'
import { hostOf, object, type LiveWeights } from './names.ts'

export function virtualServices(
  config: Config,
  live: LiveWeights,
  now: number,
  routedElsewhere: readonly string[],
): VirtualService[] {
  const { namespace } = config
  return Object.entries(servicesOf(config)).flatMap(([name, service]) => {
    const routes = routedElsewhere.includes(name)
      ? httpRoutes(name, service, { namespace }, {}, now)
      : httpRoutes(name, service, config, live, now)
    if (!routes) return []
    const http = meshRoutes(routes, service.port)
    return [object('VirtualService', namespace, name, { hosts: [hostOf(name, namespace)], http })]
  })
}
