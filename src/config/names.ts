// Derives names from a config: the services it covers, and the object names that it reserves.
import type { CanaryConfig, Config, ServicePolicy } from './schema.ts'

type Canaries = Pick<Config, 'canary' | 'canaries'>

/** All canaries of the config: those of `canaries`, or the one of `canary`. One engine moves the traffic of all of them. */
export function allCanariesOf({ canary, canaries = [] }: Canaries): CanaryConfig[] {
  return canary ? [canary] : canaries
}

/** The canaries whose traffic this program moves. */
export function canariesOf(config: Canaries): CanaryConfig[] {
  return allCanariesOf(config).filter(({ engine }) => engine.type === 'builtin')
}

/** The canaries whose traffic a controller in the cluster moves. */
export function followedCanariesOf(config: Canaries): CanaryConfig[] {
  return allCanariesOf(config).filter(({ engine }) => engine.type !== 'builtin')
}

/** The canaries whose objects for a controller this program writes. */
export function generatedCanariesOf(config: Canaries): CanaryConfig[] {
  return followedCanariesOf(config).filter(({ engine }) => engine.generate)
}

/** The key of the canary at that index of `allCanariesOf`. */
export function canaryKey({ canary }: Canaries, index: number): string {
  return canary ? 'canary' : `canaries.${index}`
}

/** The key of the canary of that service. */
export function canaryKeyOf(config: Canaries, service: string): string {
  return canaryKey(
    config,
    allCanariesOf(config).findIndex((each) => each.service === service),
  )
}

/** The subsets between which the service's canary moves traffic; undefined without a canary by subset. */
export function splitSubsets(config: Canaries, service: string): [stable: string, canary: string] | undefined {
  const found = canariesOf(config).find((each) => each.service === service && each.stable.by === 'subset')
  return found && [found.stable.name, found.canary.name]
}

/** The Services between which the service's canary moves traffic, if its run creates the second one. */
export function splitServices(config: Canaries, service: string): [stable: string, canary: string] | undefined {
  const found = canariesOf(config).find((each) => each.service === service && each.stable.by === 'service')
  return found && releaseKeysOf(found).length > 0 ? [found.stable.name, found.canary.name] : undefined
}

/** All services with policies, including those of canaries, whose subsets are added. */
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

/** Our route in a VirtualService. It is the last one, and a promotion changes its weights. */
export const routeName = 'mesh-canary'

/** Our route with the same split for the ports that the service's policies do not name. */
export const otherPortsRouteName = 'mesh-canary-other-ports'

/** The routes that an A/B stage adds before the split. They never split traffic themselves. */
export const abRouteName = 'mesh-canary-ab'

/** The routes with a fault that an experiment adds before others. */
export const faultRouteName = 'mesh-canary-fault'

/** Name of the AuthorizationPolicy of `defaultDeny`. */
export const defaultDenyName = 'default-deny'

/** Name of the AuthorizationPolicy that refuses requests without a token. */
export function requiredName(jwt: string): string {
  return `${jwt}-required`
}

const releaseKeys = ['image', 'images', 'manifests'] as const

/** The keys that say what the run releases; empty if the canary's workload exists already. */
export function releaseKeysOf(plan: CanaryConfig): (typeof releaseKeys)[number][] {
  return releaseKeys.filter((key) => plan[key] !== undefined)
}

/** The name of the Deployment that a run creates for the canary, and of its Service if it needs one. */
export function createdCanaryName(service: string): string {
  return `${service}-canary`
}

/** The name of a copy for the canary; the canaries of two services may need copies of one object. */
export function copyForCanaryName(original: string, service: string): string {
  return original === service ? createdCanaryName(service) : `${original}-${createdCanaryName(service)}`
}

/** On the pods of a canary that a run created, and on what belongs to it: the service. */
export const createdCanaryLabel = 'mesh-canary.io/canary'

/** On pods that a run creates: a hash of the ConfigMaps and Secrets that they read, so that a change restarts them. */
export const configHashAnnotation = 'mesh-canary.io/config-hash'
