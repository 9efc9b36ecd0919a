// The config with what the cluster says about each release: how its versions are told apart. Pure.
import { canariesOf, createdCanaryName } from '../config/names.ts'
import type { CanaryConfig, Config, ServicePolicy } from '../config/schema.ts'
import type { Labels } from '../canary/workload/selectors.ts'
import type { Release } from './plan.ts'

/** `isUnderWay`: whether pods of the canary are there, or will be. Else stable's subset selects all pods of the Service. */
export function withRelease(config: Config, { plan, distinction }: Release, isUnderWay: boolean): Config {
  if (distinction.by === 'service') return withServices(config, plan)
  if (!isUnderWay) return config
  return withStableSubset(config, plan, { [distinction.key]: distinction.value })
}

/** Without labels, the subset selects all pods of the Service. */
export function withStableSubset(config: Config, plan: CanaryConfig, labels: Labels): Config {
  const policy = config.services![plan.service]!
  return withPolicy(config, plan, { ...policy, subsets: { ...policy.subsets, [plan.stable.name]: labels } })
}

/** The config in which the versions of the canary are Services. */
export function withServices(config: Config, plan: CanaryConfig): Config {
  const { [plan.stable.name]: _, [plan.canary.name]: __, ...subsets } = config.services![plan.service]!.subsets ?? {}
  const { subsets: ___, ...policy } = config.services![plan.service]!
  const named: CanaryConfig = {
    ...plan,
    stable: { by: 'service', name: plan.service },
    canary: { by: 'service', name: createdCanaryName(plan.service) },
  }
  const changed = withPolicy(config, plan, Object.keys(subsets).length > 0 ? { ...policy, subsets } : policy)
  return {
    ...changed,
    ...(changed.canary ? { canary: named } : {}),
    ...(changed.canaries
      ? { canaries: changed.canaries.map((each) => (each.service === plan.service ? named : each)) }
      : {}),
  }
}

function withPolicy(config: Config, { service }: CanaryConfig, policy: ServicePolicy): Config {
  return { ...config, services: { ...config.services, [service]: policy } }
}

/** The plan in a config whose versions may have become Services since. */
export function currentPlan(config: Config, { service }: CanaryConfig): CanaryConfig {
  return canariesOf(config).find((each) => each.service === service)!
}
