// Decides which of a plan's steps the canary's live weight has earned: only those that passed with this pod template.
import type { CanaryConfig } from '../../config/schema.ts'
import { passedWeight, type OutcomeRecord } from '../ownership/outcome-record.ts'
import { stagesOf, stagesReached } from '../state/stages.ts'

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
