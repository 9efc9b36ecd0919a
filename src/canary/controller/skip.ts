// Whether there is anything to promote: a canary that has its weight already is left as it is.
import type { Cluster } from '../../cluster/client.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import { readLeftPromotion } from '../ownership/lease.ts'
import { stagesOf } from '../state/stages.ts'
import { selectorsOf } from '../workload/selectors.ts'
import { isAdopted } from './adopt.ts'
import { splitOf } from './context.ts'

/**
 * Why the canary is left as it is; undefined when there is something to do. There is when a canary with all the traffic
 * is not adopted yet, and when a run died before its last step had passed. `weight`: the canary's weight now, in
 * per cent.
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
  const left = await readLeftPromotion(cluster, config.namespace, plan.service)
  const isUnfinished = left !== undefined && left.state.phase !== 'ended'
  return isUnfinished ? undefined : `the canary ${name} already has the weight ${weight}`
}
