// Decides which of a plan's steps the canary's live weight has earned: only those that passed with this pod template.
import { isReady } from '../../mesh/sidecar.ts'
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import type { Pod } from '../../cluster/objects.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import type { Split } from '../../policies/routes.ts'
import type { OutcomeRecord } from '../ownership/outcome-record.ts'
import { passedWeight } from '../ownership/outcome-record.ts'
import { stagesOf, stagesReached } from '../state/stages.ts'
import { resetToStable, setWeight } from '../traffic/router.ts'
import type { BeforeWrite } from '../traffic/patch-routes.ts'

/** `weight`: the one in force now; `passed`: the one up to which the plan's steps count. Both in per cent. */
export type StartWeight = { weight: number; passed: number }

/**
 * The weight at which the promotion has to start; it may be lower than the one in force. Pure. @throws Error if the
 * checks have failed this pod template, and its weight was held.
 */
export function startWeightOf(
  plan: CanaryConfig,
  live: number,
  record: OutcomeRecord | undefined,
  template: string,
): StartWeight {
  if (record?.failed && record.template === template && live > 0) throw new Error(failedBefore(plan, live, record))
  const passed = Math.min(live, passedWeight(record, template))
  const next = stagesOf(plan)[stagesReached(plan, passed)]
  const isNextStep = next?.kind === 'weight' && next.weight >= live
  return { weight: passed > 0 && isNextStep ? live : passed, passed }
}

function failedBefore({ canary }: CanaryConfig, live: number, { run, reason }: OutcomeRecord): string {
  return (
    `the checks have failed ${canary.name} with this pod template (${run}: ${reason}), and its weight is held at ${live}; ` +
    'deploy another version, or return the traffic to stable with the stage rollback'
  )
}

/** @throws Error when stable has no ready pod for the traffic that it would get. */
export async function lowerWeight(
  cluster: Cluster,
  split: Split,
  weight: number,
  stablePods: Pod[],
  beforeWrite: BeforeWrite,
): Promise<void> {
  if (!stablePods.some(isReady))
    throw new Error(
      `the pod template of ${split.canary.name} was never observed at its weight, and the weight cannot be lowered, ` +
        `because ${split.stable.name} of ${split.service} has no ready pod; scale ${split.stable.name} up first`,
    )
  await (weight === 0 ? resetToStable(cluster, split, { beforeWrite }) : setWeight(cluster, split, weight, beforeWrite))
}

export const podsOf = (pods: Pod[], namespace: string, labels: Record<string, string>) =>
  pods.filter(({ metadata }) => metadata.namespace === namespace && matches(labels, metadata.labels))
