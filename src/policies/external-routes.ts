// Canaries whose routes this config does not own: the promotion moves their weights, and the policies leave them alone.
import { canariesOf } from '../config/names.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import type { LiveRoutes } from './live.ts'
import { configLabel, isOurs, type Owner } from './prune.ts'
import { splitsIn, routesTo } from './routes.ts'

/**
 * The config for compiling policies: without the canaries that set no policies for their service and whose traffic a
 * route outside this config already splits between stable and canary.
 */
export function withoutExternalCanaries(config: Config, { virtualServices }: LiveRoutes, { id }: Owner): Config {
  const own: { -readonly [K in keyof Config]: Config[K] } = {
    ...config,
    canaries: canariesOf(config).filter((canary) => !isRoutedElsewhere(canary)),
  }
  delete own.canary
  return own

  function isRoutedElsewhere({ service, stable, canary }: CanaryConfig): boolean {
    if (stable.by === 'service' || config.services?.[service]) return false
    const between = { namespace: config.namespace, service, stable, canary }
    const split = virtualServices.find(
      (object) => routesTo(object, service, config.namespace) && splitsIn(object, between).length > 0,
    )
    return split !== undefined && !(isOurs(split) && split.metadata.labels?.[configLabel] === id)
  }
}
