// The dependencies of one promotion: its plan, the objects that it watches, and the session that holds its Lease.
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import type { Pod, Workload } from '../../cluster/objects.ts'
import type { ObjectWatch } from '../../cluster/watch.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import type { MetricNames } from '../../envoy/counters.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Pinned } from '../analysis/share.ts'
import type { Forward } from '../../cluster/forward.ts'
import type { ClusterOfFleet } from '../hooks/promotion-status.ts'
import type { CounterReader } from '../metrics/counter-reader.ts'
import type { Observer } from '../metrics/observer.ts'
import type { LeaseSession, SessionDeps } from '../ownership/session.ts'
import type { EndedState, EngineVerdict } from '../state/types.ts'
import type { Routed, Split } from '../../policies/routes.ts'
import { templateHash, workloadsOf } from '../workload/fingerprint.ts'
import type { VersionSelectors } from '../workload/selectors.ts'
import type { Diagnosis } from './diagnosis.ts'
import type { Timeline } from './timeline.ts'

/**
 * `forward` opens a connection to a port of a pod. `warn`: shows a line, and adds it to the report's warnings. `created`:
 * the canary that this run created for a service. `readSidecars`: shared by the promotions of a run. `clusterOfFleet`: what
 * hooks are told of the cluster. `unreadGateways`: those that send a service requests, and whose proxies this run does not
 * all read.
 */
export type PromotionDeps = SessionDeps & {
  readSidecars?: (metrics: MetricNames) => CounterReader
  forward: Forward
  warn: (line: string) => void
  created?: (service: string) => CreatedCanary | undefined
  clusterOfFleet?: ClusterOfFleet | undefined
  unreadGateways?: (service: string) => readonly string[]
}

/**
 * `template`: the hash of its pod template. `cleanUp`: after a rollback; returns one sentence about what it did.
 * `capacity`: if its pods follow its weight.
 */
export type CreatedCanary = {
  template: string
  adoption: ReleaseAdoption
  cleanUp: () => Promise<string>
  capacity?: Capacity
}

/** The canary has too few ready pods for a weight; a later attempt may find enough. */
export class ReplicasNotReady extends Error {
  override name = 'ReplicasNotReady'
}

export type Capacity = {
  /** Before the weight is written, in per cent. @throws ReplicasNotReady until the pods for it are ready. */
  ensureReplicas: (weight: number) => Promise<void>
  /** After the weight is written: starts the pods of the next step. */
  scaleForNextStep: (weight: number) => Promise<void>
}

/** Stable does not have the release yet, because nobody has committed it in time. */
export class NotCommitted extends Error {
  override name = 'NotCommitted'
}

/** How stable gets what a run releases, instead of the canary's pod template as it is. */
export type ReleaseAdoption = {
  /**
   * With `after: gitops`, instead of `templateFor` and `writeConfigs`: says what to commit, and waits until stable's
   * Deployment has it. `note`: gets what keeps the commit from it. @throws NotCommitted
   */
  awaitCommit?: (deps: { note: (line: string) => void; signal: AbortSignal; clock: Clock }) => Promise<Workload>
  /** @throws Error if stable's Deployment has changed since the release began. */
  templateFor: (stable: Workload) => Workload['spec']['template']
  /** Writes what the new pods of stable read when they start. Returns how to undo it. */
  writeConfigs: () => Promise<() => Promise<void>>
  /** Lets the proxies find the new pods of stable, whose labels may differ. */
  updateSubset: (stable: Workload) => Promise<void>
  /** Returns one sentence about what it removed. */
  remove: () => Promise<string>
}

/** The pods, workloads and routes of the namespace, as the watches show them now. */
export type WatchedObjects = {
  pods: ObjectWatch<Pod>[]
  workloads: ObjectWatch<Workload>[]
  routes: ObjectWatch<Routed>[]
}

export function currentObjects<T>(watches: ObjectWatch<T>[]): T[] {
  return watches.flatMap((watch) => watch.current())
}

/** The hash of the canary's pod template, as the watches show it now. */
export function templateOf(watched: WatchedObjects, namespace: string, { canary }: VersionSelectors): string {
  const workloads = workloadsOf(currentObjects(watched.workloads), canary)
  const pods = currentObjects(watched.pods).filter(
    ({ metadata }) => metadata.namespace === namespace && matches(canary, metadata.labels),
  )
  return templateHash(workloads, pods)
}

export type PromotionContext = {
  cluster: Cluster
  config: Config
  plan: CanaryConfig
  split: Split
  selectors: VersionSelectors
  watched: WatchedObjects
  session: LeaseSession
  observer: Observer
  /** The versions that routes beside the split send requests to on purpose. */
  pinned: Pinned
  /** Its `note` names the service when there are several. */
  deps: PromotionDeps
}

/** The log of one promotion; it names the service when there are several. */
export function noteFor({ canary }: Config, { service }: CanaryConfig, note: PromotionDeps['note']): typeof note {
  return canary ? note : (line) => note(`${service}: ${line}`)
}

/** `nothing-to-do`: an earlier run, or somebody else, has finished it. `prevented`: a failure, or the end of the run's time. */
export type NotStarted = 'nothing-to-do' | 'prevented'

/**
 * An ended promotion, for the report. `error`: what went wrong besides the verdict. `rolledBackWith`: the service whose
 * failure rolled this one back too. `secondsToSafe`: from writing weight 0 until the canary's last request ended.
 * `notStarted`: why this run did not start it.
 */
export type Promotion = EndedState & {
  plan: CanaryConfig
  namespace: string
  error?: string
  engineVerdict?: EngineVerdict
  rolledBackWith?: string
  secondsToSafe?: number
  diagnosis?: Diagnosis[]
  adopted?: boolean
  notStarted?: NotStarted
  /** What this run saw of it, without what an earlier run saw. */
  timeline?: Timeline
}
