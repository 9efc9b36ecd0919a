// Whether stable serves beside the canary. Pure.
import type { ActiveState } from './types.ts'

/** The last weight at which stable served beside the canary; 0 when there was none. */
export function lastSharedWeight({ steps, startWeight }: ActiveState): number {
  const shared = steps.findLast(({ kind, weight }) => kind === 'weight' && weight < 100)
  return shared?.weight ?? (startWeight < 100 ? startWeight : 0)
}

/** True if stable gets no traffic and never served beside the canary, as in a blue-green switch. */
export const isAlone = (state: ActiveState) => state.weight === 100 && lastSharedWeight(state) === 0
