// What follows from a config by name alone: which services it is about, and which names are taken by what it writes.
import type { CanaryConfig, Config, ServicePolicy } from './schema.ts'

type Canaries = Pick<Config, 'canary' | 'canaries'>

/** The promotions: one, or several. */
export function canariesOf({ canary, canaries = [] }: Canaries): CanaryConfig[] {
  return canary ? [canary] : canaries
}

/** The subsets between which the service's canary moves traffic, stable first; none where there is no such canary. */
export function splitSubsets(config: Canaries, service: string): [stable: string, canary: string] | undefined {
  const found = canariesOf(config).find((each) => each.service === service && each.stable.by === 'subset')
  return found && [found.stable.name, found.canary.name]
}

/** The services with policies, those of canaries among them, with their subsets filled in. */
export function servicesOf({
  services = {},
  ...config
}: Pick<Config, 'services'> & Canaries): Record<string, ServicePolicy> {
  const ofCanaries = canariesOf(config).flatMap(({ service }): [string, ServicePolicy][] => {
    const named = splitSubsets(config, service)?.map((subset): [string, { version: string }] => [
      subset,
      { version: subset },
    ])
    return named
      ? [[service, { ...services[service], subsets: { ...Object.fromEntries(named), ...services[service]?.subsets } }]]
      : []
  })
  return { ...services, ...Object.fromEntries(ofCanaries) }
}

/** The name of the route that is ours in a VirtualService, the last one: the one that a promotion moves. */
export const routeName = 'mesh-canary'

/** The routes that an A/B stage puts before those that split; never part of a split themselves. */
export const abRouteName = 'mesh-canary-ab'

/** The AuthorizationPolicy of `defaultDeny`. */
export const defaultDenyName = 'default-deny'

/** The AuthorizationPolicy that refuses requests without a token. */
export function requiredName(jwt: string): string {
  return `${jwt}-required`
}
