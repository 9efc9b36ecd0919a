// The gates: which webhooks of the plan have to answer before the promotion continues. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import type { Gate } from './finding.ts'
import type { State } from './types.ts'

const hasGate = ({ webhooks }: CanaryConfig, gate: Gate) => Object.values(webhooks).some(({ type }) => type === gate)

export const isAwaiting = (plan: CanaryConfig, { passedGates }: { passedGates: Gate[] }, gate: Gate) =>
  hasGate(plan, gate) && !passedGates.includes(gate)

/** The webhooks whose answer matters now; the others need not be called. */
export function dueGates(plan: CanaryConfig, state: State): Gate[] {
  const first = (['confirm-rollout', 'pre-rollout'] as const).find((gate) => isAwaiting(plan, state, gate))
  return [
    ...(state.phase === 'waiting' && first ? [first] : []),
    ...(state.phase === 'confirming' ? (['confirm-promotion'] as const) : []),
    ...(hasGate(plan, 'rollback') ? (['rollback'] as const) : []),
  ]
}
