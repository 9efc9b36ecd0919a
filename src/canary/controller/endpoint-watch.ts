// Follows during a promotion whether each version has endpoints behind the Service: the pods come from the watch, and
// each sample reads the Service and the labels of the subsets again, because someone may change them meanwhile.
import type { Cluster } from '../../cluster/client.ts'
import type { Pod } from '../../cluster/objects.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import { describeOutage, hasEndpoint, rollbackObstacle } from '../workload/endpoints.ts'
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
}

/** A pod and its replacement may miss each other by one sample. */
const maxSamplesWithout = 1

export class EndpointWatch {
  private readonly service: WatchedService
  private selectors: ReadSelectors
  private samplesWithout = { stable: 0, canary: 0 }

  constructor(service: WatchedService) {
    this.service = service
    this.selectors = service.selectors
  }

  /** Reads the Service and the subsets. If they cannot be read, those of the last time count. */
  async refresh(): Promise<void> {
    const { cluster, config, plan } = this.service
    this.selectors = await readSelectors(cluster, config, plan).catch(() => this.selectors)
    for (const role of ['stable', 'canary'] as const)
      this.samplesWithout[role] = this.hasEndpoint(role) ? 0 : this.samplesWithout[role] + 1
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
