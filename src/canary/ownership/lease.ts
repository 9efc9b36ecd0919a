// Decides which run promotes a service. A Lease in the service's namespace, renewed with every sample, also stores the
// promotion's progress. A second run waits, or fails and names the holder. A run that stops renewing loses the Lease.
import { randomUUID } from 'node:crypto'
import type { Cluster, PatchOperation } from '../../cluster/client.ts'
import { isConflict } from '../../cluster/api-error.ts'
import { managedByLabel, manager } from '../../cluster/labels.ts'
import type { Lease } from '../../cluster/objects.ts'
import type { Clock } from '../../runtime/clock.ts'
import { decide, observe, type LeaseDecision, type ObservedLease } from './lease-decision.ts'
import {
  annotationPath,
  endedAnnotation,
  explainLoss,
  handedOverBy,
  handedOverForMs,
  handOverIdentity,
  resumeWithinOf,
  guardAnnotation,
  guardOf,
  holderOf,
  leaseName,
  leasePaths,
  runAnnotation,
  runOfHolder,
  workOfHolder,
  isSavedByOtherVersion,
  savedPromotion,
  stateAnnotation,
  type SavedPromotion,
} from './lease-object.ts'

/** What the claim has found in the Lease. */
type ClaimedFrom = {
  /** The unfinished promotion of an earlier run. */
  before: SavedPromotion | undefined
  /** The holder did not release the Lease, but stopped renewing it. It may still wake up. */
  isStolen: boolean
  /** Somebody else has ended the promotion of the holder before: its guard, or the stage rollback. */
  wasEnded: boolean
  /** The holder has handed it over, and its guard watches what it left until the guard of this claim does. */
  isHandedOver: boolean
  /** A guard watched the holder before, or the one before it, whose traffic the holder had taken over. */
  wasGuarded: boolean
  /** How much longer what was handed over may wait for a run, in milliseconds. */
  resumeWithinLeftMs: number
}

export type LeaseClaim = HeldLease & ClaimedFrom

/** Thrown if this run no longer holds the promotion's Lease. `isDeleted`: nobody holds it, because it is gone. */
export class LeaseLost extends Error {
  override name = 'LeaseLost'
  readonly isDeleted: boolean

  constructor(message: string, isDeleted = false) {
    super(message)
    this.isDeleted = isDeleted
  }
}

/** Thrown if a run that is alive holds the Lease. `run`: which one. */
export class LeaseHeld extends Error {
  override name = 'LeaseHeld'
  readonly run: string

  constructor(message: string, run: string) {
    super(message)
    this.run = run
  }
}

/** A new name for a claim: no other one has it, not even of the same run. */
export function claimIdentity(run: string): string {
  return `${run} (${randomUUID().slice(0, 8)})`
}

export type ClaimOptions = {
  namespace: string
  service: string
  run: string
  /** Of another claim that this one belongs to; by default a new one. */
  identity?: string
  /** How long the holder may go without renewing. */
  leaseMs: number
  /** How long to wait for a holder that is alive. */
  waitMs: number
  signal: AbortSignal
  clock: Clock
  note: (line: string) => void
  /** Runs before each look at the Lease. */
  whileWaiting?: () => Promise<void>
  /** What an earlier wait has seen of the Lease. */
  observed?: ObservedLease | undefined
  /** The service in messages, if its Lease has another name. */
  title?: string
}

const pollMs = 1_000
/** How many attempts a write has if conflicts follow each other. */
const attempts = 5

/** @throws LeaseHeld when a run that is alive holds the Lease, and `waitMs` is over. */
export async function claimLease(cluster: Cluster, claiming: ClaimOptions): Promise<LeaseClaim> {
  const { run, signal, clock } = claiming
  const identity = claiming.identity ?? claimIdentity(run)
  const untilFree = freeLeases(cluster, claiming)
  for (let conflicts = 0; ; await clock.sleep(pollMs, signal)) {
    const { lease, decision, hasWaited } = await untilFree()
    if (hasWaited) conflicts = 0
    // On a conflict, another run was faster. Attempts are limited, because a server may refuse every write.
    const written = lease ? takeLease(cluster, lease, identity, claiming) : createLease(cluster, identity, claiming)
    const taken = await written.catch((error: unknown) => undefinedOnConflict(error, ++conflicts))
    if (!taken) continue
    noteTakeover(decision, claiming)
    return Object.assign(new HeldLease(cluster, taken, identity, claiming), {
      before: savedPromotion(lease),
      isStolen: decision.kind === 'steal',
      wasEnded: lease?.metadata.annotations?.[endedAnnotation] !== undefined,
      isHandedOver: handedOverBy(holderOf(lease)) !== undefined,
      wasGuarded: holderOf(lease) !== '' && guardOf(lease) !== '',
      resumeWithinLeftMs: resumeWithinLeftOf(lease),
    })
  }
}

/** Runs that cannot start must not make it longer. */
function resumeWithinLeftOf(lease: Lease | undefined): number {
  return lease ? Math.max(1_000, (resumeWithinOf(lease) ?? 0) - handedOverForMs(lease)) : 0
}

type WaitOptions = Pick<
  ClaimOptions,
  'namespace' | 'service' | 'waitMs' | 'signal' | 'clock' | 'note' | 'whileWaiting' | 'observed' | 'title'
>

/**
 * Waits until no run that is alive holds the Lease, without claiming it. Returns what it has seen of the Lease: a claim that
 * knows it takes the Lease of a lost run at once. @throws LeaseHeld like `claimLease`
 */
export async function waitForFreeLease(cluster: Cluster, waiting: WaitOptions): Promise<ObservedLease> {
  return (await freeLeases(cluster, waiting)()).observed
}

type FreeLease = { lease: Lease | undefined; observed: ObservedLease; decision: LeaseDecision; hasWaited: boolean }

/** Each call reads the Lease until no run that is alive holds it. @throws LeaseHeld when `waitMs` since the start are over. */
function freeLeases(cluster: Cluster, waiting: WaitOptions): () => Promise<FreeLease> {
  const { namespace, service, waitMs, signal, clock, note, whileWaiting } = waiting
  const startedAt = clock.now()
  let { observed } = waiting
  let isAnnounced = false
  return async () => {
    for (let hasWaited = false; ; hasWaited = true) {
      await whileWaiting?.()
      const lease = await cluster.get<Lease>('Lease', namespace, leaseName(service))
      const now = clock.now()
      observed = observe(observed, lease, now)
      const decision = decide(lease, observed, now, { startedAt, waitMs })
      if (decision.kind === 'refuse') throw new LeaseHeld(refusal(waiting, lease!), runOfHolder(decision.holder))
      if (decision.kind !== 'wait') return { lease, observed, decision, hasWaited }
      if (!isAnnounced) note(announcement(waiting, lease!))
      isAnnounced = true
      await clock.sleep(pollMs, signal)
    }
  }
}

/** Undefined for a conflict, which is worth another attempt. @throws the error otherwise. */
function undefinedOnConflict(error: unknown, conflicts: number): undefined {
  if (conflicts < attempts && isConflict(error)) return undefined
  throw error
}

function noteTakeover(decision: LeaseDecision, { service, title = service, note }: ClaimOptions): void {
  if (decision.kind !== 'steal') return
  note(`${runOfHolder(decision.holder)} stopped renewing the Lease of ${title}: this run takes over`)
}

const acquiredAt = ({ spec }: Lease) => spec?.acquireTime ?? 'an unknown time'

function announcement({ namespace, service, title = service }: WaitOptions, lease: Lease): string {
  const holder = `${runOfHolder(holderOf(lease))} holds the Lease ${namespace}/${lease.metadata.name}`
  return `${title}: ${holder} since ${acquiredAt(lease)}; waiting to see whether that run is alive`
}

function refusal({ namespace, service, title = service, waitMs }: WaitOptions, lease: Lease): string {
  const [run, since, name] = [runOfHolder(holderOf(lease)), acquiredAt(lease), lease.metadata.name]
  const remedy =
    waitMs === 0
      ? 'cancel it, or set `leaseWaitTimeout` to wait for its end'
      : `it did not end within ${waitMs / 1000} s (\`leaseWaitTimeout\`): cancel it, or wait longer`
  return `another run ${workOfHolder(holderOf(lease))} ${title}: ${run}, since ${since} (it renews the Lease ${namespace}/${name}); ${remedy}`
}

/** Whether a run left the promotion of a service unfinished; reads the Lease without claiming it. */
export async function isLeftUnfinished(cluster: Cluster, namespace: string, service: string): Promise<boolean> {
  const lease = await cluster.get<Lease>('Lease', namespace, leaseName(service))
  const saved = savedPromotion(lease)
  return saved === undefined ? isSavedByOtherVersion(lease) : saved.state.phase !== 'ended'
}

const microTime = () => new Date().toISOString().replace('Z', '000Z')

function leaseSpec(identity: string, leaseMs: number, leaseTransitions: number): NonNullable<Lease['spec']> {
  const time = microTime()
  return {
    holderIdentity: identity,
    leaseDurationSeconds: Math.ceil(leaseMs / 1000),
    acquireTime: time,
    renewTime: time,
    leaseTransitions,
  }
}

async function createLease(
  cluster: Cluster,
  identity: string,
  { namespace, service, run, leaseMs }: ClaimOptions,
): Promise<Lease> {
  return cluster.create<Lease>({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      name: leaseName(service),
      namespace,
      labels: { [managedByLabel]: manager },
      annotations: { [runAnnotation]: run },
    },
    spec: leaseSpec(identity, leaseMs, 0),
  })
}

async function takeLease(
  cluster: Cluster,
  lease: Lease,
  identity: string,
  { namespace, run, leaseMs }: ClaimOptions,
): Promise<Lease> {
  const {
    metadata: { name, resourceVersion, annotations = {} },
    spec,
  } = lease
  // The guard of an earlier holder goes on until that of this claim watches. If that never happens, the next run still
  // finds that there was one.
  const isGuardOver = holderOf(lease) === ''
  const remaining = Object.fromEntries(
    Object.entries(annotations).filter(([key]) => key !== endedAnnotation && !(isGuardOver && key === guardAnnotation)),
  )
  return cluster.patch<Lease>('Lease', namespace, name, [
    { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion },
    { op: 'add', path: '/metadata/annotations', value: { ...remaining, [runAnnotation]: run } },
    { op: 'add', path: '/spec', value: leaseSpec(identity, leaseMs, (spec?.leaseTransitions ?? 0) + 1) },
  ])
}

/** A Lease that this run has taken. Whatever writes to it throws LeaseLost once the run does not hold it any more. */
class HeldLease {
  /** The holder's name: the run, and a suffix that distinguishes the claims of one run. */
  readonly identity: string
  readonly lease: Lease
  private readonly cluster: Cluster
  private readonly claiming: ClaimOptions
  private uid: string | undefined
  private isGuarded = false
  private isEnding = false
  /** What this run has written to leave the Lease, each with its heir. */
  private readonly left = new Set<string>()

  constructor(cluster: Cluster, lease: Lease, identity: string, claiming: ClaimOptions) {
    this.cluster = cluster
    this.lease = lease
    this.identity = identity
    this.claiming = claiming
    this.uid = lease.metadata.uid
  }

  /** Whether the guard of this claim watched it at the last renewal. */
  guarded(): boolean {
    return this.isGuarded
  }

  /** Says that no guard will watch this claim, so that the guard of an earlier one ends. */
  declineGuard(): Promise<void> {
    return this.write([renewal(), { op: 'add', path: leasePaths.guard, value: this.identity }])
  }

  /** Says that its guard is down. A guard that starts, or still runs, says again that it watches. */
  reportGuardDown(): Promise<void> {
    return this.write([renewal(), { op: 'add', path: leasePaths.guard, value: '' }])
  }

  /** Renews the Lease. */
  confirm(): Promise<void> {
    return this.write([renewal()])
  }

  /** Creates the Lease again after someone has deleted it. @throws LeaseLost if another run was faster. */
  async recreate(): Promise<void> {
    this.uid = (await recreateLease(this.cluster, this.identity, this.claiming))?.metadata.uid
  }

  /** Renews the Lease and saves the progress. */
  renew(saved: SavedPromotion): Promise<void> {
    return this.write([renewal(), save(JSON.stringify(saved))])
  }

  /** Releases the Lease and keeps `saved` for a later run to resume. */
  release(saved: SavedPromotion): Promise<void> {
    return this.leaveTo('', saved)
  }

  /** Lets another run take the Lease at once. If none does within `resumeWithinMs`, the guard rolls back. */
  handOver(saved: SavedPromotion, resumeWithinMs: number): Promise<void> {
    return this.leaveTo(handOverIdentity(this.identity), saved, [
      renewal(),
      { op: 'add', path: '/spec/leaseDurationSeconds', value: Math.ceil(resumeWithinMs / 1_000) },
    ])
  }

  /** Deletes the Lease and, with it, everything that belongs to it. */
  async end(): Promise<void> {
    const { namespace, name } = this.lease.metadata
    if (this.isEnding && (await this.read())?.metadata.uid !== this.uid) return
    this.isEnding = true
    // A suspended run may have lost the Lease. A run that has just renewed it keeps it until it is deleted.
    await this.confirm()
    await this.cluster.remove('Lease', namespace, name, this.uid)
  }

  /**
   * Saves the promotion and leaves the Lease to `heir`. The answer may be lost: the request's own second attempt, or a later
   * one, then finds that this run does not hold the Lease any more, because its own write has succeeded.
   */
  private async leaveTo(heir: string, saved: SavedPromotion, operations: PatchOperation[] = []): Promise<void> {
    const text = JSON.stringify(saved)
    this.left.add(`${heir} ${text}`)
    const holder: PatchOperation = { op: 'add', path: '/spec/holderIdentity', value: heir }
    await this.write([...operations, holder, save(text)]).catch(async (error: unknown) => {
      if (!(error instanceof LeaseLost)) throw error
      const now = await this.read()
      const isDone = holderOf(now) === heir && this.left.has(`${heir} ${now?.metadata.annotations?.[stateAnnotation]}`)
      if (!isDone) throw error
    })
  }

  private read(): Promise<Lease | undefined> {
    const { namespace, name } = this.lease.metadata
    return this.cluster.get<Lease>('Lease', namespace, name)
  }

  private async write(operations: PatchOperation[]): Promise<void> {
    const { cluster, lease, identity, claiming } = this
    const written = await writeAsHolder(cluster, lease, identity, operations, claiming.leaseMs)
    this.isGuarded = written.metadata.annotations?.[guardAnnotation] === identity
  }
}

function renewal(): PatchOperation {
  return { op: 'add', path: '/spec/renewTime', value: microTime() }
}

/** `text`: the promotion as JSON. */
function save(text: string): PatchOperation {
  return { op: 'add', path: annotationPath(stateAnnotation), value: text }
}

/** @throws LeaseLost if another run was faster. */
async function recreateLease(cluster: Cluster, identity: string, claiming: ClaimOptions): Promise<Lease | undefined> {
  const created = await createLease(cluster, identity, claiming).catch((error: unknown) => {
    if (!isConflict(error)) throw error
    return cluster.get<Lease>('Lease', claiming.namespace, leaseName(claiming.service))
  })
  if (created && holderOf(created) !== identity) throw new LeaseLost(explainLoss(created, identity))
  return created
}

/** Writes to the Lease only while `identity` holds it. @throws LeaseLost when it does not. */
async function writeAsHolder(
  cluster: Cluster,
  { metadata: { namespace, name } }: Lease,
  identity: string,
  operations: PatchOperation[],
  leaseMs: number,
): Promise<Lease> {
  const isHeld: PatchOperation = { op: 'test', path: '/spec/holderIdentity', value: identity }
  try {
    // A connection that hangs must end before the guard gives up on the run.
    const limits = { attempts: 2, timeoutMs: Math.max(2_000, leaseMs / 4) }
    return await cluster.patch<Lease>('Lease', namespace, name, [isHeld, ...operations], limits)
  } catch (error) {
    if (!isConflict(error)) throw error
    const now = await cluster.get<Lease>('Lease', namespace, name).catch(() => 'unread' as const)
    // The server refused for another reason, or the outcome is unknown: a later attempt may succeed.
    if (now === 'unread' || now?.spec?.holderIdentity === identity) throw error
    const deleted = `the Lease ${namespace ?? ''}/${name} was deleted`
    throw now ? new LeaseLost(explainLoss(now, identity)) : new LeaseLost(deleted, true)
  }
}

/**
 * Takes the promotion from its holder; undefined if there is none. A run that is alive notices at its next sample. Its
 * guard continues to watch the Lease. `why` tells that run the reason. Returns the Lease as it was before.
 */
export async function seizeLease(
  cluster: Cluster,
  namespace: string,
  service: string,
  holder: string,
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
      { op: 'add', path: '/spec/holderIdentity', value: holder },
    ]
    const seized = await cluster
      .patch<Lease>('Lease', namespace, name, operations)
      .catch((error: unknown) => undefinedOnConflict(error, attempt))
    if (seized) return lease
  }
}

/**
 * Undoes `seizeLease`. The earlier holder has stopped, so its guard returns the traffic to stable. If that guard has
 * taken the Lease already, there is nothing to hand back.
 */
export async function handBackLease(cluster: Cluster, { metadata, spec }: Lease, holder: string): Promise<void> {
  const { name, namespace, annotations = {} } = metadata
  const operations: PatchOperation[] = [
    { op: 'test', path: '/spec/holderIdentity', value: holder },
    { op: 'add', path: '/metadata/annotations', value: annotations },
    { op: 'add', path: '/spec/holderIdentity', value: spec?.holderIdentity ?? '' },
  ]
  await cluster.patch<Lease>('Lease', namespace, name, operations).catch((error: unknown) => {
    if (!isConflict(error)) throw error
  })
}
