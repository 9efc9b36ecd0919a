// A canary whose routes somebody else wrote: the promotion moves their weights, and the policies leave them alone.
import type { Config } from '../config/schema.ts'
import type { Live } from './apply.ts'
import { configLabel, isOurs, type Owner } from './prune.ts'
import { routesTo, weightsOf } from './routes.ts'

/**
 * The config as the policies are to see it: without a canary that states no policies of its own service, where a route
 * that is not of this config splits the service between stable and canary already.
 */
export function policiesOnly(config: Config, { virtualServices }: Live, { id }: Owner): Config {
  const { canary, namespace, services } = config
  if (!canary || services?.[canary.service]) return config
  const split = virtualServices.find((object) => routesTo(object, canary.service, namespace) && weightsOf(object, canary.service, namespace, [canary.stable, canary.canary]))
  const elsewhere = split !== undefined && !(isOurs(split) && split.metadata.labels?.[configLabel] === id)
  if (!elsewhere) return config
  const rest: { -readonly [K in keyof Config]: Config[K] } = { ...config }
  delete rest.canary
  return rest
}
