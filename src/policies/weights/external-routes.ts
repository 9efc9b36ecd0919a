// Finds canaries whose routes this config does not own: the promotion moves their weights, and the policies leave them
// alone.
import type { CanaryConfig, Config } from '../../config/schema.ts'
import type { LiveRoutes } from '../live-routes.ts'
import { isOf, isOfEarlier, type Owner } from '../owned-objects.ts'
import { routesTo, splitOf, splitsTraffic } from '../routes.ts'

/**
 * The config without canaries that have no policies here and whose traffic a route outside this config already splits.
 * The compiler would otherwise write a second route for them.
 */
export function withoutExternalCanaries(config: Config, { virtualServices }: LiveRoutes, owner: Owner): Config {
  const { canary, canaries, ...rest } = config
  if (canary) return hasExternalRoute(canary) ? rest : config
  return { ...rest, ...(canaries && { canaries: canaries.filter((each) => !hasExternalRoute(each)) }) }

  function hasExternalRoute(plan: CanaryConfig): boolean {
    const { service, stable } = plan
    if (stable.by === 'service' || Object.hasOwn(config.services ?? {}, service)) return false
    const split = virtualServices.find(
      (object) => routesTo(object, service, config.namespace) && splitsTraffic(object, splitOf(config, plan)),
    )
    return split !== undefined && !isOf(owner, split) && !isOfEarlier(owner, split)
  }
}
