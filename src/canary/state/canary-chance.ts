// With what chance does a request go to the canary? Pure.
import { canaryChance } from '../analysis/share.ts'
import type { ActiveState, Observation } from './types.ts'

/**
 * The highest chance of the next request, from 0 to 1, before the sample is counted. Undefined where more than the weight
 * decides: copies, requests that match `ab`, routes that send the canary more on purpose, foreign weights, or pods whose
 * requests are not counted. While the traffic moves, callers follow the weight before or the new one.
 */
export function chanceOfCanary({ steps, takeovers }: ActiveState, { share, drift }: Observation): number | undefined {
  const [before, step] = [steps.at(-2), steps.at(-1)]
  const isByWeight = step?.kind === 'weight' && (before === undefined || before.kind === 'weight')
  const isForeign = drift !== undefined || takeovers > 0
  if (!isByWeight || isForeign || share === undefined || share.canary) return undefined
  const weight = Math.max(step.from, step.weight)
  return weight < 100 ? canaryChance(weight, step.canary, step.stable) : undefined
}
