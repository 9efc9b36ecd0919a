// The config of each cluster of a fleet.
import type { CanaryConfig, Config } from './schema.ts'

/** `wave`: the clusters of the lowest one begin. `config`: as if this cluster were the only one. */
export type FleetCluster = { name: string; wave: number; config: Config }

/** In the order of the config; none without `clusters`. */
export function fleetOf(config: Config): FleetCluster[] {
  const { clusters = {}, ...own } = config
  const count = Object.keys(clusters).length
  return Object.entries(clusters).map(([name, { wave, context, kubeconfig = own.kubeconfig }]) => ({
    name,
    wave,
    config: {
      ...own,
      ...(kubeconfig === undefined ? {} : { kubeconfig }),
      ...(context === undefined ? {} : { context }),
      ...(own.canary ? { canary: withItsShare(own.canary, count) } : {}),
      ...(own.canaries ? { canaries: own.canaries.map((canary) => withItsShare(canary, count)) } : {}),
    },
  }))
}

/**
 * A false rollback in any cluster is one of the fleet, so each cluster gets its part of the allowed chance. A bad canary is
 * promoted by the fleet only if the cluster in which it is bad promotes it, so that chance holds as it is.
 */
function withItsShare(canary: CanaryConfig, clusters: number): CanaryConfig {
  const { checks } = canary
  return { ...canary, checks: { ...checks, falseRollback: checks.falseRollback / clusters } }
}
