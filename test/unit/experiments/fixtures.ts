// What the tests of experiments share: an experiment read by the real loader, and observations.
import { noRequests } from '../../../src/canary/analysis/request-counts.ts'
import type { ExperimentConfig } from '../../../src/config/schema.ts'
import { noMeshCounts } from '../../../src/experiments/state/mesh-counts.ts'
import type { Observation } from '../../../src/experiments/state/types.ts'
import { configOf, served } from '../fixtures.ts'

/** An experiment with the service backend, unless it says otherwise; `settings` as `{ … }` on one line. */
export function experimentOf(settings = '', inject = '{ abort: { status: 503 } }'): ExperimentConfig {
  const base = 'service: backend, steadyState: 10s, duration: 20s, recoverWithin: 20s, confirmTimeout: 15s'
  return configOf(`experiments: { trial: { ${base}, inject: ${inject}, ${settings} } }`).experiments!['trial']!
}

/** A sample of a second with fifty good requests, of which none shows the fault, unless `more` says otherwise. */
export function seen(more: Partial<Observation> = {}): Observation {
  return {
    users: served(50),
    mesh: noMeshCounts,
    signs: { calls: 50, faulted: 0 },
    isGuarded: true,
    wasSent: true,
    isWritten: false,
    isRemoved: false,
    late: { users: noRequests, mesh: noMeshCounts },
    disturbed: [],
    podsNotReady: 0,
    callersNotRead: 0,
    isBlind: false,
    ...more,
  }
}

export const acts = { isWritten: true, signs: { calls: 50, faulted: 50 } }
export const isGone = { isWritten: true, isRemoved: true }
export const nobody = { users: noRequests, signs: { calls: 0, faulted: 0 } }
