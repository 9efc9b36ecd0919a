// The config → Istio objects: one VirtualService and one DestinationRule a host, whatever the number of policies.
// Pure: it knows no cluster.
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

/** `live` holds the weights now in force in the cluster, by service; `now` tells which faults are over. */
export function compile(config: Config, live: LiveWeights, now = Date.now()): Compiled {
  return {
    objects: [
      ...peerAuthentications(config),
      ...requestAuthentications(config),
      ...authorizationPolicies(config),
      ...serviceEntries(config),
      ...sidecars(config),
      ...destinationRules(config),
      ...virtualServices(config, live, now),
      ...exposures(config, live, now),
      ...telemetries(config),
    ],
    warnings: warningsOf(config, now),
  }
}
