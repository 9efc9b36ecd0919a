// Contradictions between keys, which the schema of a single key cannot see.
import { canaryFaults } from './check/canary.ts'
import { clusterFaults } from './check/cluster.ts'
import { fleetFaults } from './check/clusters.ts'
import { edgeFaults } from './check/edge.ts'
import { experimentFaults } from './check/experiments.ts'
import { exposeFaults } from './check/expose.ts'
import { withPrefix, type Fault } from './check/fault.ts'
import { istioFaults } from './check/istio.ts'
import { mtlsFaults } from './check/mtls.ts'
import { objectNameFaults } from './check/object-names.ts'
import { observabilityFaults } from './check/observability.ts'
import { serviceFaults } from './check/services.ts'
import { servicesOf } from './names.ts'
import type { Config } from './schema.ts'
import { stageFaults } from './stages.ts'

/** All contradictions at once, in the order of the sections. */
export function findFaults(config: Config): Fault[] {
  return [
    ...Object.entries(servicesOf(config)).flatMap(([name, service]) =>
      withPrefix(['services', name], serviceFaults(service)),
    ),
    ...istioFaults(config),
    ...mtlsFaults(config),
    ...objectNameFaults(config),
    ...exposeFaults(config),
    ...edgeFaults(config),
    ...canaryFaults(config),
    ...experimentFaults(config),
    ...observabilityFaults(config),
    ...clusterFaults(config),
    ...fleetFaults(config),
    ...stageFaults(config),
  ]
}
