// One VirtualService for each service, for callers in the mesh.
import type { VirtualService } from '../../cluster/objects.ts'
import { servicesOf } from '../../config/names.ts'
import type { Config } from '../../config/schema.ts'
import { meshRoutes } from './http.ts'
import { hostOf, object, type LiveWeights } from './names.ts'

export function virtualServices(
  config: Config,
  live: LiveWeights,
  now: number,
  routedElsewhere: readonly string[],
): VirtualService[] {
  const { namespace } = config
  return Object.entries(servicesOf(config)).flatMap(([name, service]) => {
    const http = routedElsewhere.includes(name)
      ? meshRoutes(name, service, { namespace }, {}, now)
      : meshRoutes(name, service, config, live, now)
    return http ? [object('VirtualService', namespace, name, { hosts: [hostOf(name, namespace)], http })] : []
  })
}
