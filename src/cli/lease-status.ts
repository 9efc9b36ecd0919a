// What a Lease says of a promotion or an experiment, in words. Pure.
import {
  endedAnnotation,
  guardAnnotation,
  handedOverBy,
  handOverMs,
  holderOf,
  isGuardIdentity,
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
  const guard = guardOf(lease, shown)
  const lines = [
    `${name}: ${work.text}`,
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
  if (isSilent(lease, now))
    return {
      text: `${versions}: ${positionLine(shown)} then; its run has been silent for ${silence(lease, shown.guardMs, now)}`,
      about,
    }
  const msLeft = Math.max(0, shown.msLeft - Math.max(0, now - saved.savedAt))
  return { text: `${versions}: ${progressLine({ ...shown, msLeft })}`, about }
}

/** For how long, and whether somebody will act. A run without a guard is marked as watched, too. */
function silence(lease: Lease, guardMs: number | undefined, now: number): string {
  const seconds = Math.round((now - Date.parse(lease.spec?.renewTime ?? '')) / 1000)
  return `${seconds} s, and ${guardMs !== undefined && isWatched(lease) ? 'its guard has not acted yet' : 'no guard watches it'}`
}

/** Times are of two clocks: that of the run, and that of this machine. */
function describeHolder(lease: Lease, now: number): string {
  const holder = holderOf(lease)
  const { renewTime } = lease.spec ?? {}
  if (holder === '') return `nobody; last ${lease.metadata.annotations?.[runAnnotation] ?? 'unknown'}`
  const age = renewTime === undefined ? undefined : Math.round((now - Date.parse(renewTime)) / 1000)
  if (handedOverBy(holder) !== undefined)
    return `nobody; ${runOfHolder(holder)} has handed it over ${Math.max(0, age ?? 0)} s ago`
  const renewed = age === undefined ? 'never renewed' : `renewed ${Math.max(0, age)} s ago`
  return `${runOfHolder(holder)}, ${renewed}${isSilent(lease, now) ? ', which is longer than it may be silent' : ''}`
}

function isSilent(lease: Lease, now: number): boolean {
  const { renewTime, leaseDurationSeconds } = lease.spec ?? {}
  if (holderOf(lease) === '' || renewTime === undefined || leaseDurationSeconds === undefined) return false
  return now - Date.parse(renewTime) > leaseDurationSeconds * 1000
}

function isWatched(lease: Lease): boolean {
  const holder = holderOf(lease)
  return lease.metadata.annotations?.[guardAnnotation] === (handedOverBy(holder) ?? holder)
}

/** An experiment and an older version save no view, and a promotion without a guard saves no `guardMs`. */
function guardOf(lease: Lease, shown: SavedView['shown']): string {
  const holder = holderOf(lease)
  if (holder === '') return 'none, because nobody holds the Lease'
  if (isGuardIdentity(holder)) return 'acts now'
  if (!isWatched(lease)) return 'does not watch this run yet'
  const waitMs = handOverMs(lease)
  if (waitMs !== undefined) return `waits for the next run, and acts if none goes on within ${waitMs / 1000} s`
  if (shown && shown.guardMs === undefined) return 'off'
  return `watches this run${shown?.guardMs === undefined ? '' : `, and acts after ${shown.guardMs / 1000} s of silence`}`
}
