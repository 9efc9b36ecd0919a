// What a Lease says of a promotion or an experiment, in words. Pure.
import {
  endedAnnotation,
  guardAnnotation,
  holderOf,
  isGuardIdentity,
  isSavedByOtherVersion,
  runAnnotation,
  runOfHolder,
  savedPromotion,
  serviceOf,
  workOfHolder,
  type SavedPromotion,
} from '../canary/ownership/lease-object.ts'
import type { Lease } from '../cluster/objects.ts'
import { detailLines, progressLine } from './progress-lines.ts'

/** `line`: the most important in one line. `about`: what has to change for it to be news. `lines`: everything. */
export type LeaseStatus = { name: string; about: string; line: string; lines: string[] }

/** `now`: milliseconds since the epoch, by the clock of this machine. */
export function leaseStatus(lease: Lease, now: number): LeaseStatus {
  const name = `${lease.metadata.namespace ?? ''}/${serviceOf(lease)}`
  const holder = holderOf(lease)
  const saved = savedPromotion(lease)
  const what = describeWork(lease, saved, now)
  const { shown } = saved ?? {}
  return {
    name,
    about: JSON.stringify([what.about, holder, guardOf(lease, shown?.guardMs), isSilent(lease, now)]),
    line: `${name}: ${what.text}`,
    lines: [
      `${name}: ${what.text}`,
      ...(shown ? detailLines(shown) : []),
      `  holder    ${describeHolder(lease, now)}`,
      `  guard     ${guardOf(lease, shown?.guardMs)}`,
    ],
  }
}

function describeWork(lease: Lease, saved: SavedPromotion | undefined, now: number): { text: string; about: string } {
  const holder = holderOf(lease)
  const ended = lease.metadata.annotations?.[endedAnnotation]
  const same = (text: string) => ({ text, about: text })
  if (isGuardIdentity(holder)) return same('the guard returns everything to how it was before')
  if (ended !== undefined) return same(`ended by somebody else: ${ended}`)
  if (holder !== '' && workOfHolder(holder) !== 'promotes') return same('an experiment')
  if (isSavedByOtherVersion(lease))
    return same('a promotion by another version of mesh-canary, which says no more here')
  if (!saved) return same('a promotion that has not begun')
  const { state, shown } = saved
  if (state.phase === 'ended') return same(`${state.verdict} at weight ${state.weight}%: ${state.reason}`)
  if (!shown) return same(`${state.phase}, weight ${state.weight}%`)
  const { canary, stable, phase, stage, stages, weight } = shown
  // The run may have returned the traffic since, which the Lease does not say.
  if (holder === '')
    return same(
      `${canary} beside ${stable}: interrupted at step ${stage} of ${stages}, with weight ${weight}% then; a later run goes on from there`,
    )
  const elapsed = Math.max(0, now - Date.parse(saved.savedAt))
  const current = { ...shown, msLeft: Math.max(0, shown.msLeft - elapsed) }
  return { text: `${canary} beside ${stable}: ${progressLine(current)}`, about: JSON.stringify([phase, stage, weight]) }
}

/** Times are of two clocks: that of the run, and that of this machine. */
function describeHolder(lease: Lease, now: number): string {
  const holder = holderOf(lease)
  const { renewTime } = lease.spec ?? {}
  if (holder === '') return `nobody; last ${lease.metadata.annotations?.[runAnnotation] ?? 'unknown'}`
  const age = renewTime === undefined ? undefined : Math.round((now - Date.parse(renewTime)) / 1000)
  const renewed = age === undefined ? 'never renewed' : `renewed ${Math.max(0, age)} s ago`
  return `${runOfHolder(holder)}, ${renewed}${isSilent(lease, now) ? ', which is longer than it may be silent' : ''}`
}

function isSilent(lease: Lease, now: number): boolean {
  const { renewTime, leaseDurationSeconds } = lease.spec ?? {}
  if (holderOf(lease) === '' || renewTime === undefined || leaseDurationSeconds === undefined) return false
  return now - Date.parse(renewTime) > leaseDurationSeconds * 1000
}

/** An experiment and an older version save no `guardMs`. */
function guardOf(lease: Lease, guardMs: number | undefined): string {
  const holder = holderOf(lease)
  const watched = lease.metadata.annotations?.[guardAnnotation]
  if (holder === '') return 'none, because nobody holds the Lease'
  if (isGuardIdentity(holder)) return 'acts now'
  const acts = guardMs === undefined ? '' : `, and acts after ${guardMs / 1000} s of silence`
  if (watched === holder)
    return guardMs === undefined && savedPromotion(lease)?.shown ? 'off' : `watches this run${acts}`
  return 'does not watch this run yet'
}
