// What the run that follows a rollout works with.
import type { Observer } from '../canary/metrics/observer.ts'
import type { VersionSelectors } from '../canary/workload/selectors.ts'
import type { PromotionDeps, WatchedObjects } from '../canary/controller/context.ts'
import type { Cluster } from '../cluster/client.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import type { EngineType } from '../config/schema/engine.ts'
import type { Split } from '../policies/routes.ts'
import type { Engine } from './engine.ts'
import type { EventLog } from './event-log.ts'

/**
 * `from`: the revision when the run began; empty if any that begins is the one to follow. `isBegun`: the engine rolled that
 * out already, so it is the one to follow; otherwise another one has to come. `wroteNothing`: the images were set before the
 * run. `template`: what the objects have to ask for
 * while the run follows. `plan`: with the versions and the weights of the engine. `resumeAt`: the pause to end once the
 * evidence suffices.
 */
export type FollowContext = {
  cluster: Cluster
  config: Config
  plan: CanaryConfig
  split: Split
  engine: Engine
  type: EngineType
  name: string
  /** The object's name in messages. */
  title: string
  /** How long the engine may take to notice a change. */
  noticeMs: number
  /** How often it looks at the cluster; 0 if it learns of changes at once. */
  looksEveryMs: number
  uid: string | undefined
  from: string
  isBegun: boolean
  wroteNothing: boolean
  template: string | undefined
  resumeAt?: string | undefined
  watched: WatchedObjects
  /** Its `note` names the service when there are several. */
  deps: PromotionDeps
  events: EventLog
  /** Reads the counters of the pods of both versions. */
  observe: (selectors: VersionSelectors) => Promise<Observer>
}
