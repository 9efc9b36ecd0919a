// How many requests per second a service gets now, by the counters of the sidecars.
import type { Cluster } from '../../cluster/client.ts'
import type { Service } from '../../cluster/objects.ts'
import { createdCanaryLabel, releaseKeysOf } from '../../config/names.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import { hostOf } from '../../policies/compile/names.ts'
import type { Clock } from '../../runtime/clock.ts'
import { createObserver } from '../metrics/observer.ts'
import { selectorsOf, type VersionSelectors } from '../workload/selectors.ts'
import { closeWatches, watchObjects } from './watch.ts'

const measureMs = 3_000

/** @throws Error if the counters cannot be read. */
export async function requestRate(cluster: Cluster, config: Config, plan: CanaryConfig, clock: Clock): Promise<number> {
  const selectors = await servingPods(cluster, config, plan)
  const watched = await watchObjects(cluster, config)
  try {
    const service = { namespace: config.namespace, host: hostOf(plan.service, config.namespace), ...selectors, plan }
    const observer = await createObserver(cluster, watched.pods, service, () => undefined)
    await observer.sample()
    const began = clock.now()
    await clock.sleep(measureMs)
    const { observed } = await observer.sample()
    const served = observed.canary.requests + observed.stable.requests
    return (1000 * Math.max(served, observed.users.requests)) / (clock.now() - began)
  } finally {
    closeWatches(watched)
  }
}

/** Before a release, nobody has told the pods of the versions apart yet, and the rate is that of both. */
async function servingPods(cluster: Cluster, config: Config, plan: CanaryConfig): Promise<VersionSelectors> {
  if (releaseKeysOf(plan).length === 0) return selectorsOf(cluster, config, plan)
  const { namespace } = config
  const selector = (await cluster.get<Service>('Service', namespace, plan.service))?.spec.selector
  if (!selector) throw new Error(`the Service ${namespace}/${plan.service} does not exist, or has no selector`)
  return { stable: selector, canary: { [createdCanaryLabel]: plan.service } }
}
