// What the parts of the proof share: what they need, what was sent, and what they found.
import type { Cluster } from '../../cluster/client.ts'
import type { Forward } from '../../cluster/forward.ts'
import type { Pod, Service } from '../../cluster/objects.ts'
import type { Config } from '../../config/schema.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Entry } from './entry.ts'
import type { Answer, Ids } from './request.ts'
import type { Readings } from './sidecar-requests.ts'

export type ProofDeps = {
  cluster: Cluster
  config: Config
  forward: Forward
  signal: AbortSignal
  clock: Clock
}

/** `pods`: those with a running sidecar. */
export type Application = { entry: Entry; services: Service[]; pods: Pod[] }

/**
 * A request, and what the sidecars counted before and after it. `at`: milliseconds since the epoch. `pod`: the name of the
 * pod of the entry that counted it; through a gateway, that may be another one than the entry's.
 */
export type SentRequest = Ids & Answer & { at: number; pod: string; before: Readings; after: Readings }

/** `ok` is undefined if nothing can show whether it arrives. `text`: what was seen, or why not. */
export type Finding = { ok?: boolean; text: string }
export type TelemetryRow = Finding & { what: 'metrics' | 'traces' | 'logs' }

/**
 * One of the three. `findArrival`: undefined as long as it has not arrived; `explainAbsence`: why it has not, when the
 * time is over. Requests come oldest first.
 */
export type Proof = {
  what: TelemetryRow['what']
  findArrival: (requests: readonly SentRequest[]) => Promise<Finding | undefined>
  explainAbsence: (requests: readonly SentRequest[]) => Promise<Finding>
}
