// What the waves of one run share: the promotions, and what the caller gives them.
import type { Cluster } from '../cluster/client.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import { messageOf } from '../runtime/errors.ts'
import type { ActivePromotion, Idle, PromotionProgress, RecoveryIntent } from './active-promotion.ts'
import type { Promotion, PromotionDeps, WatchedObjects } from './controller/context.ts'
import type { SidecarReaders } from './metrics/shared-reader.ts'
import type { OtherClusters } from './other-clusters.ts'
import type { HandOverSchedule } from './state/hand-over.ts'

export type SharedReaders = { readSidecars: SidecarReaders }

/**
 * `onProgress`: called after each poll, and at the end.
 * `intent` records what to roll back if this process dies. `whyIdle`: why there is nothing to promote for a service,
 * if the caller knows. `fleetFailure`: why nothing may begin, because the run has failed before; what an earlier run has
 * left under way is then rolled back. `runsUntil`: when the promotions under way are handed over to the next run.
 */
export type PromoteDeps = PromotionDeps & {
  intent: (intents: RecoveryIntent[]) => void
  onProgress: (promotions: PromotionProgress[]) => void
  whyIdle?: (service: string) => string | undefined
  others?: OtherClusters
  fleetFailure?: string
  runsUntil?: HandOverSchedule | undefined
  /** Starts to follow the rollout of a controller. */
  follow: (plan: CanaryConfig, watched: WatchedObjects, shared: SharedReaders) => Promise<ActivePromotion | Idle>
}

/**
 * The promotions ended early, because one could not start or the run was cancelled. `promotions`: how those that had begun
 * ended.
 */
export class PromotionsStopped extends Error {
  readonly promotions: Promotion[]

  constructor(cause: unknown, promotions: Promotion[]) {
    super(messageOf(cause), { cause })
    this.promotions = promotions
  }
}

export type Waves = {
  cluster: Cluster
  config: Config
  deps: PromoteDeps & SharedReaders
  watched: WatchedObjects
  runs: ActivePromotion[]
  skipped: Promotion[]
  /** The time of the run ended before all could start. */
  isOutOfTime: boolean
}
