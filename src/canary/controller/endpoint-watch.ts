// Follows during a promotion whether each version has endpoints behind the Service: the pods come from the watch. The
// Service and the labels of the subsets are read again now and then, and before each write, because someone may change
// them meanwhile.
import type { Cluster } from '../../cluster/client.ts'
import type { Pod } from '../../cluster/objects.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import { describeOutage, hasEndpoint, rollbackObstacle } from '../workload/endpoints.ts'
import type { Clock } from '../../runtime/clock.ts'
import { readSelectors, SelectorFault, type ReadSelectors, type VersionSelectors } from '../workload/selectors.ts'
import type { Split } from '../../policies/routes.ts'

type Role = keyof VersionSelectors

export type WatchedService = {
  cluster: Cluster
  config: Config
  plan: CanaryConfig
  split: Split
  selectors: VersionSelectors
  pods: () => Pod[]
  clock: Clock
}

/** A pod and its replacement may miss each other by one sample. */
const maxSamplesWithout = 1
const rereadMs = 10_000

export class EndpointWatch {
  private readonly service: WatchedService
  private selectors: ReadSelectors
  private samplesWithout = { stable: 0, canary: 0 }
  private readAt: number

  constructor(service: WatchedService) {
    this.service = service
    this.selectors = service.selectors
    this.readAt = service.clock.now()
  }

  /** Looks at the pods, and at the Service and the subsets if that is due. `isWriting`: it is due before a write. */
  async refresh({ isWriting = false } = {}): Promise<void> {
    if (isWriting || this.service.clock.now() - this.readAt >= rereadMs) await this.reread()
    for (const role of ['stable', 'canary'] as const)
      this.samplesWithout[role] = this.hasEndpoint(role) ? 0 : this.samplesWithout[role] + 1
  }

  /** If they cannot be read, those of the last time count. */
  private async reread(): Promise<void> {
    const { cluster, config, plan, clock } = this.service
    this.readAt = clock.now()
    this.selectors = await readSelectors(cluster, config, plan).catch(() => this.selectors)
  }

  hasEndpoint(role: Role): boolean {
    const { split, pods } = this.service
    const labels = this.selectors[role]
    return !(labels instanceof SelectorFault) && hasEndpoint(pods(), split.namespace, labels)
  }

  /** True if the version has had no endpoint for longer than a pod takes to be replaced. */
  isDown(role: Role): boolean {
    return this.samplesWithout[role] > maxSamplesWithout
  }

  /** Why the canary is down. */
  canaryFault(): string {
    const { canary } = this.selectors
    if (canary instanceof SelectorFault) return canary.message
    const { service, canary: version } = this.service.plan
    return `no ready pod of ${version.name} is behind the Service ${version.by === 'service' ? version.name : service}`
  }

  /** Why a rollback has to wait; undefined if it need not. */
  rollbackObstacle(): string | undefined {
    const { split, pods } = this.service
    const { stable, canary } = this.selectors
    if (stable instanceof SelectorFault)
      return this.hasEndpoint('canary') ? `${describeOutage(split)} (${stable.message})` : undefined
    if (canary instanceof SelectorFault) return undefined
    return rollbackObstacle(pods(), split, { stable, canary })
  }
}
