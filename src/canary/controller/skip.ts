// Checks whether there is anything to promote. A canary that already has its weight is skipped.
import type { Cluster } from '../../cluster/client.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import { isLeftUnfinished } from '../ownership/lease.ts'
import { stagesOf } from '../state/stages.ts'
import { selectorsOf } from '../workload/selectors.ts'
import { isAdopted } from './adopt.ts'
import { splitOf } from './context.ts'

/**
 * Why the canary is skipped; undefined if there is something to do. That is also the case if a canary with all the
 * traffic is not adopted yet, or if a run died before its last step had passed. `weight`: the canary's current weight,
 * in per cent.
 */
export async function whySkipped(
  cluster: Cluster,
  config: Config,
  plan: CanaryConfig,
  weight: number,
): Promise<string | undefined> {
  const { name } = plan.canary
  const adopts = plan.after === 'adopt'
  if (adopts && (await isAdopted(cluster, splitOf(config, plan), await selectorsOf(cluster, config, plan))))
    return `${name} was adopted already: stable runs the same pod template, and ${name} has 0 replicas`
  const last = stagesOf(plan).at(-1)
  const isReached = last?.kind === 'weight' && weight >= last.weight
  if (!isReached || (adopts && weight === 100)) return undefined
  const isUnfinished = await isLeftUnfinished(cluster, config.namespace, plan.service)
  return isUnfinished ? undefined : `the canary ${name} already has the weight ${weight}`
}
