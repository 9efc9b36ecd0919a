// A promotion of a run, whoever moves its traffic, and how it has ended.
import type { CanaryConfig } from '../config/schema.ts'
import type { EngineType } from '../config/schema/engine.ts'
import type { Split } from '../policies/routes.ts'
import type { Promotion } from './controller/context.ts'
import type { DrainTarget } from './controller/undrained.ts'
import { isHeldAsPlanned } from './state/ending.ts'
import type { HandOverRequest } from './state/hand-over.ts'
import type { State } from './state/types.ts'
import type { VersionSelectors } from './workload/selectors.ts'

/**
 * What this process is responsible for: whose traffic, and the name that holds the Lease. `needsDrainCheck`: the
 * traffic is rolled back, and only the drain has to be checked. `followed`: the rollout of a controller, which has no Lease.
 */
export type RecoveryIntent = {
  split: Split
  identity: string
  selectors: VersionSelectors
  drainTarget: DrainTarget
  needsDrainCheck: boolean
  followed?: FollowedRollout
}

/**
 * The rollout that a run follows. `revision`: the one that it follows. As long as that is not known, `from` is the one
 * before, and any other is that of the run. `wroteNothing`: nothing that this run did makes one begin. `holds`: it goes on
 * if the run dies, because the plan says so and nothing condemns it.
 */
export type FollowedRollout = { type: EngineType; name: string; holds?: true } & (
  | { revision: string }
  | { from: string; wroteNothing?: true }
)

/** A promotion under way, whoever moves its traffic. None of its methods rejects. */
export type ActivePromotion = {
  plan: CanaryConfig
  split: Split
  selectors: VersionSelectors
  state: State
  intent: RecoveryIntent
  /** How far the controller is that moves the traffic, if one does. */
  where?: string | undefined
  /** It has not ended, or a decision is not written yet. */
  isBusy: boolean
  /** It is in the middle of a long step, and hardly any evidence is against the canary: the next sample may come later. */
  isSteady: boolean
  /** False if its traffic should return to stable and that is not written. */
  isSafe: boolean
  /** Another process has taken it over, or it could not be made safe: its verdict no longer says what the traffic does. */
  isLost: boolean
  /** The next run continues it. */
  isHandedOver?: boolean
  /** The service, or the cluster of a fleet, whose failure rolled it back too. */
  rolledBackWith?: string | undefined
  /** Its traffic was rolled back, and nothing has checked yet whether the proxies follow. */
  needsDrainCheck: boolean
  hasEnded(): boolean
  tick(): Promise<void>
  heartbeat(): Promise<void>
  rollBack(reason: string, rolledBackWith?: string): Promise<void>
  cancel(reason: string): Promise<void>
  /** Undefined if a controller moves the traffic: it goes on without the run. */
  handOver?(how: HandOverRequest): Promise<void>
  /** True if it still holds its Lease and its weight. Undefined if a controller moves the traffic. */
  confirmWeight?(): Promise<boolean>
  /** As `handOver`, for one that is promoted, and waits for others. */
  handOverPromoted?(how: HandOverRequest): void
  conclude(how: { fast: boolean }): Promise<Promotion>
}

/**
 * Not started, and why. `weight`: the canary's, in per cent. `isPrevented`: there is something to promote. `isOutOfTime`:
 * the next run does. `error`: why it keeps traffic that should be rolled back.
 */
export type Idle = {
  idle: string
  plan: CanaryConfig
  weight: number
  isPrevented?: boolean
  isOutOfTime?: boolean
  error?: string
}

/**
 * A promotion as it is now. `cluster`: its name in a fleet. `deployment`: whose pods are the canary's, if it is one Deployment.
 * `where`: how far the controller is that moves the traffic, if one does.
 */
export type PromotionProgress = {
  cluster?: string
  plan: CanaryConfig
  namespace: string
  state: State
  deployment?: string
  where?: string | undefined
}

export const isPromoted = ({ state }: ActivePromotion) => state.phase === 'ended' && state.verdict === 'promoted'

export const describeFailure = ({ plan, isLost }: ActivePromotion) =>
  isLost ? `the promotion of ${plan.service} was lost` : `the canary of ${plan.service} was not promoted`

export function hasFailed({ state, isLost }: ActivePromotion): boolean {
  return isLost || (state.phase === 'ended' && state.verdict !== 'promoted' && !isHeldAsPlanned(state))
}

/** Of several, one that does not keep its weight: it decides about the others. One that was rolled back with it does not. */
export function decisiveFailure(runs: ActivePromotion[]): ActivePromotion | undefined {
  const failed = runs.filter(hasFailed)
  const decisive = failed.filter((run) => !isHeld(run))
  return decisive.find(({ rolledBackWith }) => rolledBackWith === undefined) ?? decisive[0] ?? failed[0]
}

export const isHeld = ({ state, isLost }: ActivePromotion) =>
  !isLost && state.phase === 'ended' && state.verdict === 'held'

const heartbeatMs = 2_000

/** Renews the Leases of the running promotions while `work` takes longer than a moment. `also`: what else is done meanwhile. */
export async function withHeartbeat<T>(runs: ActivePromotion[], work: Promise<T>, also?: () => void): Promise<T> {
  const beat = () => {
    runs.forEach((run) => void run.heartbeat())
    also?.()
  }
  const timer = setInterval(beat, heartbeatMs)
  try {
    return await work
  } finally {
    clearInterval(timer)
  }
}
