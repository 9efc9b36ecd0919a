// Whose a service's promotion is: a Lease in its namespace, renewed with every look, that also holds how far the promotion
// is. A second run waits, or is told whose it is; a run that is not heard of any more loses it.
import { managedByLabel, manager } from '../../cluster/labels.ts'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { isConflict, type Cluster, type PatchOperation } from '../../cluster/client.ts'
import type { Lease } from '../../cluster/objects.ts'
import { monotonicNow } from '../../runtime/clock.ts'
import type { State } from '../state/machine.ts'

/** What is kept of a promotion that has not come to its end. `plan` and `template`: of what it is; see record.ts. */
export type SavedPromotion = { version: 2; plan: string; template: string; run: string; savedAt: string; state: State }

const stateAnnotation = 'mesh-canary.io/state'
/** Whose it is or was. With it there are annotations at all: no patch can add one to none, and the server drops an empty map. */
const runAnnotation = 'mesh-canary.io/run'
/** How somebody else ended it: the guard, or the stage rollback. */
const endedAnnotation = 'mesh-canary.io/ended'
/** The holder whose guard is on duty. */
const guardAnnotation = 'mesh-canary.io/guard'

export type LeaseClaim = {
  /** The holder's name: the run, and what tells two of its claims apart. */
  identity: string
  lease: Lease
  /** What an earlier run left. */
  before: SavedPromotion | undefined
  /** Whether the guard of this claim said that it watches; as of the last renewal. */
  guarded: () => boolean
  /** Says that the run lives, and saves how far it is. @throws Lost when the promotion is another's now. */
  renew: (saved: SavedPromotion) => Promise<void>
  /** Gives it up; `saved` is kept for a later run to go on from. */
  release: (saved: SavedPromotion) => Promise<void>
  /** Gives it up for good: with the Lease goes all that belongs to it. */
  end: () => Promise<void>
}

/** The promotion was taken from this run. */
export class LeaseLost extends Error {
  override name = 'Lost'
}

/** What belongs to the Lease goes when it goes. */
export function ownerReference({ metadata: { name, uid = '' } }: Lease) {
  return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', name, uid }
}

export function leaseName(service: string): string {
  return `mesh-canary-${service}`
}

/** Who waits, and how long: `leaseMs` is how long a holder may not be heard of, `waitMs` how long to wait for one that lives. */
export type ClaimOptions = {
  namespace: string
  service: string
  run: string
  leaseMs: number
  waitMs: number
  signal: AbortSignal
  note: (line: string) => void
}

const pollMs = 1_000
/** How often in a row a write that others may have been quicker with is tried. */
const attempts = 5
/** A guard that puts traffic back is waited for in any case; it takes seconds. */
const guardMs = 60_000
const guardPrefix = 'guard of '

export function guardIdentity(identity: string): string {
  return `${guardPrefix}${identity}`
}

/** @throws Error naming the run that holds it, when that lives and is not to be waited for any longer. */
export async function claimLease(cluster: Cluster, claiming: ClaimOptions): Promise<LeaseClaim> {
  const { namespace, service, run, waitMs, signal, note } = claiming
  const identity = `${run} (${randomUUID().slice(0, 8)})`
  const name = leaseName(service)
  const began = monotonicNow()
  let seen: { version: string | undefined; at: number; renewed: boolean } | undefined
  let told = false
  let refused = 0
  for (; ; await sleep(pollMs, undefined, { signal })) {
    const lease = await cluster.get<Lease>('Lease', namespace, name)
    const version = lease?.metadata.resourceVersion
    if (!seen || seen.version !== version) seen = { version, at: monotonicNow(), renewed: seen !== undefined }
    const holder = lease?.spec?.holderIdentity ?? ''
    // By this machine's own clock: the holder's may be wrong.
    const isStale = monotonicNow() - seen.at >= (lease?.spec?.leaseDurationSeconds ?? 30) * 1000
    if (holder === '' || isStale) {
      // Another run was quicker; or the server takes none at all, which is not asked for ever.
      const taken = await (lease
        ? takeLease(cluster, lease, identity, claiming)
        : createLease(cluster, name, identity, claiming)
      ).catch((error: unknown) => (++refused < attempts ? unlessOvertaken(error) : Promise.reject(error as Error)))
      if (taken && isStale)
        note(
          `${runOfHolder(holder)} held the promotion of ${service} and was not heard of any more: it is this run's now`,
        )
      if (taken) return claimOf(cluster, taken, identity, savedIn(lease), claiming.leaseMs)
      continue
    }
    refused = 0
    const limit = holder.startsWith(guardPrefix) ? Math.max(waitMs, guardMs) : waitMs
    if (seen.renewed && monotonicNow() - began >= limit) throw new Error(heldBy(claiming, lease!))
    if (!told)
      note(
        `${service}: ${runOfHolder(holder)} holds the Lease ${namespace}/${name} since ${lease!.spec?.acquireTime ?? 'an unknown time'}; waiting to see whether it lives`,
      )
    told = true
  }
}

function heldBy({ namespace, service, waitMs }: ClaimOptions, { metadata, spec }: Lease): string {
  const how =
    waitMs === 0
      ? 'give `leaseWaitTimeout` to wait for its end'
      : `waited for ${waitMs / 1000} s (\`leaseWaitTimeout\`)`
  return `another run promotes ${service}: ${runOfHolder(spec!.holderIdentity!)}, since ${spec?.acquireTime ?? 'an unknown time'} (it renews the Lease ${namespace}/${metadata.name}); cancel it, or ${how}`
}

/** The run that a holder's name is of. */
export function runOfHolder(holder: string): string {
  return holder.replace(guardPrefix, 'the guard of ').replace(/ \([0-9a-f]{8}\)$/, '')
}

/** What the Lease of a service says was left, without claiming it. */
export async function readLeftPromotion(
  cluster: Cluster,
  namespace: string,
  service: string,
): Promise<SavedPromotion | undefined> {
  return savedIn(await cluster.get<Lease>('Lease', namespace, leaseName(service)))
}

function savedIn(lease: Lease | undefined): SavedPromotion | undefined {
  const text = lease?.metadata.annotations?.[stateAnnotation]
  if (text === undefined) return undefined
  try {
    const saved = JSON.parse(text) as { version: number }
    return saved.version === 2 ? (saved as SavedPromotion) : undefined
  } catch {
    return undefined
  }
}

const microTime = () => new Date().toISOString().replace('Z', '000Z')

async function createLease(
  cluster: Cluster,
  name: string,
  identity: string,
  { namespace, run, leaseMs }: ClaimOptions,
): Promise<Lease> {
  const time = microTime()
  const spec = {
    holderIdentity: identity,
    leaseDurationSeconds: Math.ceil(leaseMs / 1000),
    acquireTime: time,
    renewTime: time,
    leaseTransitions: 0,
  }
  return cluster.create<Lease>({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name, namespace, labels: { [managedByLabel]: manager }, annotations: { [runAnnotation]: run } },
    spec,
  })
}

async function takeLease(
  cluster: Cluster,
  lease: Lease,
  identity: string,
  { namespace, run, leaseMs }: ClaimOptions,
): Promise<Lease> {
  const time = microTime()
  const {
    metadata: { name, resourceVersion, annotations = {} },
    spec,
  } = lease
  const kept = Object.fromEntries(
    Object.entries(annotations).filter(([key]) => key !== endedAnnotation && key !== guardAnnotation),
  )
  return cluster.patch<Lease>('Lease', namespace, name, [
    { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion },
    { op: 'add', path: '/metadata/annotations', value: { ...kept, [runAnnotation]: run } },
    {
      op: 'add',
      path: '/spec',
      value: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(leaseMs / 1000),
        acquireTime: time,
        renewTime: time,
        leaseTransitions: (spec?.leaseTransitions ?? 0) + 1,
      },
    },
  ])
}

function unlessOvertaken(error: unknown): undefined {
  if (isConflict(error)) return undefined
  throw error
}

const at = (annotation: string) => `/metadata/annotations/${annotation.replace('/', '~1')}`

function claimOf(
  cluster: Cluster,
  lease: Lease,
  identity: string,
  before: SavedPromotion | undefined,
  leaseMs: number,
): LeaseClaim {
  const { namespace, name } = lease.metadata
  let guarded = false
  // A connection that hangs must not outlast what the guard waits for.
  const soon = { attempts: 2, timeoutMs: Math.max(2_000, leaseMs / 4) }
  const isMine: PatchOperation = { op: 'test', path: '/spec/holderIdentity', value: identity }
  const write = async (operations: PatchOperation[]) => {
    try {
      const now = await cluster.patch<Lease>('Lease', namespace, name, [isMine, ...operations], soon)
      guarded = now.metadata.annotations?.[guardAnnotation] === identity
    } catch (error) {
      if (!isConflict(error)) throw error
      const lease = await cluster.get<Lease>('Lease', namespace, name).catch(() => 'unread' as const)
      // Refused for some other reason, or nobody knows: it may pass.
      if (lease === 'unread' || lease?.spec?.holderIdentity === identity) throw error
      throw new LeaseLost(
        lease
          ? explainLoss(lease)
          : `the Lease ${namespace ?? ''}/${name} is gone: somebody else has ended this promotion`,
      )
    }
  }
  const renewal = (): PatchOperation => ({ op: 'add', path: '/spec/renewTime', value: microTime() })
  return {
    identity,
    lease,
    before,
    guarded: () => guarded,
    renew: (saved) => write([renewal(), { op: 'add', path: at(stateAnnotation), value: JSON.stringify(saved) }]),
    release: (saved) =>
      write([
        { op: 'add', path: '/spec/holderIdentity', value: '' },
        { op: 'add', path: at(stateAnnotation), value: JSON.stringify(saved) },
      ]),
    end: async () => {
      // A run that was asleep may have lost it meanwhile; one that has just renewed it does not before it is gone.
      await write([renewal()])
      await cluster.remove('Lease', namespace, name, lease.metadata.uid)
    },
  }
}

function explainLoss({ metadata, spec }: Lease): string {
  const holder = spec?.holderIdentity ?? ''
  return (
    metadata.annotations?.[endedAnnotation] ??
    (holder.startsWith(guardPrefix)
      ? 'the guard is putting the traffic back'
      : `${holder === '' ? 'somebody' : runOfHolder(holder)} has taken the promotion over`)
  )
}

/** Takes the promotion from whoever holds it; undefined when none is under way. A run that lives notices with its next look. */
export async function seizeLease(
  cluster: Cluster,
  namespace: string,
  service: string,
  by: string,
  why: string,
): Promise<Lease | undefined> {
  const name = leaseName(service)
  for (let attempt = 1; ; attempt++) {
    const lease = await cluster.get<Lease>('Lease', namespace, name)
    if (!lease) return undefined
    const { resourceVersion, annotations = {} } = lease.metadata
    const operations: PatchOperation[] = [
      { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion },
      { op: 'add', path: '/metadata/annotations', value: { ...annotations, [endedAnnotation]: why } },
      { op: 'add', path: '/spec/holderIdentity', value: by },
    ]
    const seized = await cluster
      .patch<Lease>('Lease', namespace, name, operations)
      .catch((error: unknown) => (attempt < attempts ? unlessOvertaken(error) : Promise.reject(error as Error)))
    if (seized) return seized
  }
}
/** For the guard: what its Lease says, and what it writes there. */
export const leasePaths = { endedName: endedAnnotation, ended: at(endedAnnotation), guard: at(guardAnnotation) }
