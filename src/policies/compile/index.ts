// Compiles the config into Istio objects: one VirtualService and one DestinationRule for each host. Pure: it knows no
// cluster.
import type { KubeObject } from '../../cluster/objects.ts'
import { warningsOf } from '../../config/warnings.ts'
import type { Config } from '../../config/schema.ts'
import { authorizationPolicies } from './authorization.ts'
import { peerAuthentications, requestAuthentications } from './authentication.ts'
import { destinationRules } from './destination-rule.ts'
import { serviceEntries, sidecars } from './egress.ts'
import { exposures } from './expose.ts'
import type { LiveWeights } from './names.ts'
import { telemetries } from './telemetry.ts'
import { virtualServices } from './virtual-service.ts'

export type Compiled = { objects: KubeObject[]; warnings: string[] }

/**
 * `live`: the weights now in force, by service. `now`: to tell which faults have ended. `routedElsewhere`: the services
 * whose traffic in the mesh the user's manifests route, so that they get no split of ours.
 */
export function compile(
  config: Config,
  live: LiveWeights,
  now = Date.now(),
  routedElsewhere: readonly string[] = [],
): Compiled {
  return {
    objects: [
      ...peerAuthentications(config),
      ...requestAuthentications(config),
      ...authorizationPolicies(config),
      ...serviceEntries(config),
      ...sidecars(config),
      ...destinationRules(config),
      ...virtualServices(config, live, now, routedElsewhere),
      ...exposures(config, live, now),
      ...telemetries(config),
    ],
    warnings: warningsOf(config, now),
  }
}
