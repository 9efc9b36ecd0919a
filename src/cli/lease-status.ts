// What a Lease says of a promotion or an experiment, in words. Pure.
import {
  endedAnnotation,
  guardAnnotation,
  handedOverBy,
  handOverMs,
  holderOf,
  isGuardIdentity,
  isRollbackIdentity,
  runAnnotation,
  runOfHolder,
  serviceOf,
  stateAnnotation,
  workOfHolder,
} from '../canary/ownership/lease-object.ts'
import type { Lease } from '../cluster/objects.ts'
import { detailLines, positionLine, progressLine } from './progress-lines.ts'
import { savedViewOf, type SavedView } from './saved-view.ts'

/** `line`: the most important in one line. `about`: what has to change for it to be news. `lines`: everything. */
export type LeaseStatus = { name: string; about: string; line: string; lines: string[] }

/** `now`: milliseconds since the epoch, by the clock of this machine. */
export function leaseStatus(lease: Lease, now: number): LeaseStatus {
  const name = oneLine(`${lease.metadata.namespace ?? ''}/${serviceOf(lease)}`)
  const holder = holderOf(lease)
  const saved = savedViewOf(lease)
  const { shown } = saved ?? {}
  const work = describeWork(lease, saved, now)
  const guard = guardOf(lease, shown, now)
  const lines = [
    `${name}: ${work.text}${silence(lease, shown, now)}`,
    ...(shown ? detailLines(shown) : []),
    `  holder    ${describeHolder(lease, now)}`,
    `  guard     ${guard}`,
  ].map(oneLine)
  return { name, about: JSON.stringify([work.about, holder, guard, isSilent(lease, now)]), line: lines[0]!, lines }
}

/** Whoever may write a Lease could otherwise write whole lines about others. */
function oneLine(text: string): string {
  return text.replace(/[\r\n\u2028\u2029]+/g, ' ')
}

function describeWork(lease: Lease, saved: SavedView | undefined, now: number): { text: string; about: string } {
  const holder = holderOf(lease)
  const ended = lease.metadata.annotations?.[endedAnnotation]
  const same = (text: string) => ({ text, about: text })
  if (isGuardIdentity(holder)) return same('the guard returns everything to how it was before')
  if (isRollbackIdentity(holder)) return same('the stage rollback returns the traffic to stable')
  if (ended !== undefined) return same(`ended by somebody else: ${ended}`)
  if (holder !== '' && workOfHolder(holder) !== 'promotes') return same('an experiment')
  if (lease.metadata.annotations?.[stateAnnotation] === undefined) return same('a promotion that has not begun')
  if (!saved) return same('a promotion by another version of mesh-canary, which says no more here')
  const { state, shown } = saved
  if (state.phase === 'ended') return same(`${state.verdict} at weight ${state.weight}%: ${state.reason}`)
  if (!shown) return same(`${state.phase}, weight ${state.weight}%`)
  const { canary, stable, phase, stage, stages, weight } = shown
  const versions = `${canary} beside ${stable}`
  // The run may have returned the traffic since, which the Lease does not say.
  if (holder === '')
    return same(
      `${versions}: interrupted at step ${stage} of ${stages}, with weight ${weight}% then; a later run goes on from there`,
    )
  if (handedOverBy(holder) !== undefined)
    return same(
      `${versions}: handed over to the next run at step ${stage} of ${stages}, with weight ${weight}%, and nobody judges it meanwhile`,
    )
  const about = JSON.stringify([phase, stage, weight])
  // Nobody knows what has become of it since.
  if (isSilent(lease, now)) return { text: `${versions}: ${positionLine(shown)} then`, about }
  const msLeft = Math.max(0, shown.msLeft - Math.max(0, now - saved.savedAt))
  return { text: `${versions}: ${progressLine({ ...shown, msLeft })}`, about }
}

/** For how long, and whether somebody will act; empty while the holder renews its Lease. A run without a guard is marked as watched, too. */
function silence(lease: Lease, shown: SavedView['shown'], now: number): string {
  if (!isSilent(lease, now)) return ''
  const { renewTime } = lease.spec ?? {}
  const since =
    renewTime === undefined ? 'has never renewed its Lease' : `has been silent for ${secondsSince(renewTime, now)} s`
  if (isGuardIdentity(holderOf(lease))) return `; but it ${since}`
  const isGuarded = shown?.guardMs !== undefined && isWatched(lease)
  return `; its run ${since}, and ${isGuarded ? 'its guard has not acted yet' : 'no guard is known to watch it'}`
}

function secondsSince(time: string, now: number): number {
  return Math.max(0, Math.round((now - Date.parse(time)) / 1000))
}

/** Times are of two clocks: that of the run, and that of this machine. */
function describeHolder(lease: Lease, now: number): string {
  const holder = holderOf(lease)
  const { renewTime } = lease.spec ?? {}
  if (holder === '') return `nobody; last ${lease.metadata.annotations?.[runAnnotation] ?? 'unknown'}`
  if (handedOverBy(holder) !== undefined)
    return `nobody; ${runOfHolder(holder)} has handed it over ${secondsSince(renewTime ?? '', now)} s ago`
  const renewed = renewTime === undefined ? 'never renewed' : `renewed ${secondsSince(renewTime, now)} s ago`
  return `${runOfHolder(holder)}, ${renewed}${isSilent(lease, now) ? ', which is longer than it may be silent' : ''}`
}

/** Longer than it may be. */
function isSilent(lease: Lease, now: number): boolean {
  const { renewTime, leaseDurationSeconds } = lease.spec ?? {}
  if (holderOf(lease) === '') return false
  if (renewTime === undefined || leaseDurationSeconds === undefined) return true
  return now - Date.parse(renewTime) > leaseDurationSeconds * 1000
}

function isWatched(lease: Lease): boolean {
  const holder = holderOf(lease)
  return lease.metadata.annotations?.[guardAnnotation] === (handedOverBy(holder) ?? holder)
}

/** An experiment and an older version save no view, and a promotion without a guard saves no `guardMs`. */
function guardOf(lease: Lease, shown: SavedView['shown'], now: number): string {
  const holder = holderOf(lease)
  if (holder === '') return 'none, because nobody holds the Lease'
  if (isGuardIdentity(holder)) return isSilent(lease, now) ? 'has begun to act' : 'acts now'
  if (!isWatched(lease)) return 'does not watch this run yet'
  const waitMs = handOverMs(lease)
  if (waitMs !== undefined) return `waits for the next run, and acts if none goes on within ${waitMs / 1000} s`
  if (shown && shown.guardMs === undefined) return 'off'
  return `watches this run${shown?.guardMs === undefined ? '' : `, and acts after ${shown.guardMs / 1000} s of silence`}`
}
