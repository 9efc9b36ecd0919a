// The input of a guard: the Lease to watch, and the routes to restore if no run renews it.
import type { VersionSelectors } from '../workload/selectors.ts'
import type { Routed, Split } from '../../policies/routes.ts'

/**
 * `identity`: the holder to watch; `afterMs`: how long it may stop renewing; `saved`: the routes to restore;
 * `selectors`: the labels of each version's pods.
 */
export type GuardSpec = {
  namespace: string
  service: string
  lease: string
  identity: string
  afterMs: number
  split: Split
  selectors: VersionSelectors
  saved: Routed[]
}

/** Keys of the guard's ConfigMap. */
export const guardSpecKey = 'guard-spec.json'
export const guardProgramKey = 'guard.mjs'

/** Where the guard answers whether it is ready. */
export const guardReadinessPort = 8080

/** Where the guard's container finds its spec and its program. */
export const guardSpecFile = `/guard/${guardSpecKey}`
export const guardProgramFile = `/guard/${guardProgramKey}`
