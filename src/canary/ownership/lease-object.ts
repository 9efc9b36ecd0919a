// The Lease of a service's promotion as an object: its name, its holder, and what its annotations say. Pure.
import type { Lease } from '../../cluster/objects.ts'
import type { ProgressView } from '../state/progress-view.ts'
import type { State } from '../state/types.ts'

/**
 * A promotion that has not ended. `plan` and `template` identify what it promotes; see workload/fingerprint.ts. `shown`: for
 * people, who do not have the plan; `guardMs`: after how long a silence its guard acts, if it has one.
 */
export type SavedPromotion = {
  version: 5
  plan: string
  template: string
  run: string
  savedAt: string
  state: State
  shown?: ProgressView & { guardMs?: number }
}

export const stateAnnotation = 'mesh-canary.io/state'
/**
 * The run that holds the Lease, or held it. It also keeps the map of annotations from being empty: the API server drops
 * an empty map, and no patch can add an annotation to a map that is absent.
 */
export const runAnnotation = 'mesh-canary.io/run'
/** How someone other than the run ended the promotion: the guard, or the stage rollback. */
export const endedAnnotation = 'mesh-canary.io/ended'
/**
 * The holder that its own guard watches, once the guard's Job has started; or a holder that declined to be watched. The
 * guard of an earlier holder goes on until then.
 */
export const guardAnnotation = 'mesh-canary.io/guard'

/** The JSON Patch path of an annotation. */
export function annotationPath(annotation: string): string {
  return `/metadata/annotations/${annotation.replace('/', '~1')}`
}

/** The paths that the guard and the post step write. */
export const leasePaths = { ended: annotationPath(endedAnnotation), guard: annotationPath(guardAnnotation) }

export function leaseName(service: string): string {
  return `mesh-canary-${service}`
}

/** The service whose promotion the Lease belongs to. */
export function serviceOf({ metadata }: Lease): string {
  return metadata.name.slice(leaseName('').length)
}

/** Kubernetes deletes an object with this reference together with the Lease. */
export function ownerReference({ metadata: { name, uid = '' } }: Lease) {
  return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', name, uid }
}

/** The holder; empty when nobody holds the Lease or there is none. */
export function holderOf(lease: Lease | undefined): string {
  return lease?.spec?.holderIdentity ?? ''
}

const guardPrefix = 'guard of '

/** The holder while the guard of `identity` rolls back. */
export function guardIdentity(identity: string): string {
  return `${guardPrefix}${identity}`
}

const handOverPrefix = 'handed over by '

/**
 * The holder between two runs: `identity` has ended, and its guard waits for the next run as long as the Lease says
 * (`leaseDurationSeconds`).
 */
export function handOverIdentity(identity: string): string {
  return `${handOverPrefix}${identity}`
}

/** The holder whose run has handed the promotion over; undefined if nobody has. */
export function handedOverBy(holder: string): string | undefined {
  return holder.startsWith(handOverPrefix) ? holder.slice(handOverPrefix.length) : undefined
}

/** The run that holds the Lease, or has handed it over. */
export function claimantOf(lease: Lease | undefined): string {
  const holder = holderOf(lease)
  return handedOverBy(holder) ?? holder
}

/** The run whose guard watches, or did at last; empty if none does. */
export function guardOf(lease: Lease | undefined): string {
  return lease?.metadata.annotations?.[guardAnnotation] ?? ''
}

/** The guard of that run watches. */
export function isGuarded(lease: Lease | undefined): boolean {
  const claimant = claimantOf(lease)
  return claimant !== '' && guardOf(lease) === claimant
}

const defaultLeaseSeconds = 30

/** How long the holder may go without renewing, in milliseconds. */
export function leaseMsOf(lease: Lease | undefined): number {
  return (lease?.spec?.leaseDurationSeconds ?? defaultLeaseSeconds) * 1_000
}

/** How long a handed-over promotion may wait for its next run; undefined if it is not handed over. */
export function resumeWithinOf(lease: Lease): number | undefined {
  if (handedOverBy(holderOf(lease)) === undefined) return undefined
  return (lease.spec?.leaseDurationSeconds ?? 0) * 1_000
}

/** How long it has waited for its next run, and at most as long as it may. By the clocks of two machines. */
export function handedOverForMs(lease: Lease): number {
  const passedMs = Date.now() - Date.parse(lease.spec?.renewTime ?? '')
  return Math.min(Math.max(passedMs || 0, 0), resumeWithinOf(lease) ?? 0)
}

const rollbackMark = ' (rollback)'

/** The holder while the stage rollback of `run` writes the routes. */
export function rollbackIdentity(run: string): string {
  return `${run}${rollbackMark}`
}

export function isRollbackIdentity(holder: string): boolean {
  return holder.endsWith(rollbackMark)
}

const experimentMark = ', experiment '

/** The name of a run that holds the Lease for an experiment. */
export function experimentRun(run: string, experiment: string): string {
  return `${run}${experimentMark}${experiment}`
}

export function isExperimentHolder(holder: string): boolean {
  return holder.includes(experimentMark)
}

/** What the holder does with the service, in words. */
export function workOfHolder(holder: string): string {
  return isExperimentHolder(holder) ? 'experiments with' : 'promotes'
}

export function isGuardIdentity(holder: string): boolean {
  return holder.startsWith(guardPrefix)
}

/** The run in a holder's name, for messages: without the suffix that distinguishes the claims of one run. */
export function runOfHolder(holder: string): string {
  return holder
    .replace(handOverPrefix, '')
    .replace(guardPrefix, 'the guard of ')
    .replace(/ \([0-9a-f]{8}\)$/, '')
}

/** The unfinished promotion that the Lease stores; undefined if there is none that can be read. */
export function savedPromotion(lease: Lease | undefined): SavedPromotion | undefined {
  const text = lease?.metadata.annotations?.[stateAnnotation]
  if (text === undefined) return undefined
  try {
    const saved = JSON.parse(text) as { version: number }
    return saved.version === 5 ? (saved as SavedPromotion) : undefined
  } catch {
    return undefined
  }
}

/** The Lease stores a promotion of another version of mesh-canary: nobody can tell how far it came. */
export function isSavedByOtherVersion(lease: Lease | undefined): boolean {
  return lease?.metadata.annotations?.[stateAnnotation] !== undefined && savedPromotion(lease) === undefined
}

/** Why a run no longer holds this Lease. `loser`: the identity of its claim. */
export function explainLoss(lease: Lease, loser: string): string {
  const isOfExperiment = loser.includes(experimentMark)
  const holder = holderOf(lease)
  const ended = lease.metadata.annotations?.[endedAnnotation]
  if (ended !== undefined) return ended
  if (isGuardIdentity(holder))
    return isOfExperiment ? 'the guard is removing the fault' : 'the guard is rolling back to stable'
  return `${holder === '' ? 'someone' : runOfHolder(holder)} took over the ${isOfExperiment ? 'Lease' : 'promotion'}`
}
