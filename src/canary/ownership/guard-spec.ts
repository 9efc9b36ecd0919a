// What a guard is told: whose Lease to watch, and what to put back when it is not renewed any more.
import type { Routed, Split } from '../../policies/routes.ts'

/** `identity`: the holder that is watched; `afterMs`: how long it may not be heard of; `saved`: the routes before the promotion. */
export type GuardSpec = {
  namespace: string
  service: string
  lease: string
  identity: string
  afterMs: number
  split: Split
  saved: Routed[]
}

/** Where the orders lie in the guard's container, beside its program. */
export const guardSpecFile = '/guard/orders.json'
export const guardProgramFile = '/guard/guard.mjs'
