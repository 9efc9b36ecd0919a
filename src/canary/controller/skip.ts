// Checks whether there is anything to promote. A canary that already has its weight is skipped.
import type { Cluster } from '../../cluster/client.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import { isLeftUnfinished } from '../ownership/lease.ts'
import { passedWeight, readOutcome, writeOutcome } from '../ownership/outcome-record.ts'
import { stagesOf } from '../state/stages.ts'
import { selectorsOf } from '../workload/selectors.ts'
import { isAdopted } from './adopt.ts'
import { splitOf } from '../../policies/routes.ts'
import { templateOf, type WatchedObjects } from './context.ts'

const promotedBefore = { passedWeight: 100, failed: false, reason: 'it had all the traffic already', run: 'unknown' }

/**
 * Why the canary is skipped; undefined if there is something to do. That is also the case if a canary with all the
 * traffic is not adopted yet, if a run died before its last step had passed, or if no promotion has observed this pod
 * template at the canary's weight. `weight`: the canary's current weight, in per cent.
 */
export async function whySkipped(
  cluster: Cluster,
  config: Config,
  plan: CanaryConfig,
  weight: number,
  watched: WatchedObjects,
): Promise<string | undefined> {
  const { service, canary } = plan
  const { namespace } = config
  const adopts = plan.after !== 'keep'
  const selectors = await selectorsOf(cluster, config, plan)
  if (adopts && (await isAdopted(cluster, splitOf(config, plan), selectors)))
    return `${canary.name} was adopted already: stable runs the same pod template, and ${canary.name} has 0 replicas`
  const last = stagesOf(plan).at(-1)
  const isReached = last?.kind === 'weight' && weight >= last.weight
  if (!isReached || (adopts && weight === 100)) return undefined
  // A run that ended in the last step has not passed it, whatever template runs now.
  if (await isLeftUnfinished(cluster, namespace, service)) return undefined
  const template = templateOf(watched, namespace, selectors)
  const record = await readOutcome(cluster, namespace, service)
  // An earlier release has promoted it, and recorded nothing: from now on this template is the promoted one.
  if (record === undefined && weight === 100)
    await writeOutcome(cluster, namespace, service, { ...promotedBefore, template })
  const passed = record === undefined && weight === 100 ? weight : passedWeight(record, template)
  if (passed < last.weight) return undefined
  return `${canary.name} with this pod template already has the weight ${weight}`
}
