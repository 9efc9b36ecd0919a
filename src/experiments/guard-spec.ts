// The input of an experiment's guard: the Lease to watch, and the objects to restore if no run renews it.
import type { FaultObject } from './faults/fault-object.ts'

/** `identity`: the holder to watch; `afterMs`: how long it may stop renewing. `otherLeases`: further Leases of the run. */
export type ExperimentGuardSpec = {
  experiment: string
  namespace: string
  service: string
  lease: string
  otherLeases: string[]
  identity: string
  afterMs: number
  objects: FaultObject[]
}
