// What a Lease says of a promotion or an experiment, in words. Pure.
import {
  endedAnnotation,
  handedOverBy,
  resumeWithinOf,
  holderOf,
  isExperimentHolder,
  isGuarded,
  isGuardIdentity,
  isRollbackIdentity,
  leaseMsOf,
  runAnnotation,
  runOfHolder,
  serviceOf,
  stateAnnotation,
} from '../canary/ownership/lease-object.ts'
import type { Lease } from '../cluster/objects.ts'
import { verdictName } from '../report/headline.ts'
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
    `${name}: ${work.text}`,
    ...(shown ? detailLines(shown) : []),
    `  holder    ${describeHolder(lease, now)}`,
    `  guard     ${guard}`,
  ].map(oneLine)
  return {
    name,
    about: JSON.stringify([work.about, holder, isGuarded(lease), isSilent(lease, now)]),
    line: lines[0]!,
    lines,
  }
}

/** Whoever may write a Lease could otherwise write whole lines about others. */
function oneLine(text: string): string {
  return text.replace(/[\r\n\u2028\u2029]+/g, ' ')
}

type Work = { text: string; about: string }

const same = (text: string): Work => ({ text, about: text })

function describeWork(lease: Lease, saved: SavedView | undefined, now: number): Work {
  const holder = holderOf(lease)
  const takeover = takeoverBy(holder)
  if (takeover)
    return { text: `${takeover.what}, and ${lastAlive(lease, now)}; ${takeover.remedy}`, about: takeover.what }
  const ended = lease.metadata.annotations?.[endedAnnotation]
  if (ended !== undefined) return same(`ended by somebody else: ${ended}`)
  const silent = isSilent(lease, now)
  const { text, about } = workOfRun(lease, saved, now, silent)
  return { text: silent ? `${text}; ${silence(lease, saved?.shown, now)}` : text, about }
}

/** Neither renews the Lease while it works, so nothing shows whether it is alive. */
function takeoverBy(holder: string): { what: string; remedy: string } | undefined {
  if (isGuardIdentity(holder))
    return {
      what: 'the guard has taken over, to return everything to how it was before',
      remedy: 'it needs seconds: after a minute, see the log of its Job',
    }
  if (isRollbackIdentity(holder))
    return {
      what: `${holder} has taken over, to return all traffic to stable`,
      remedy: 'it needs seconds: after a minute, see the log of that run, and run the stage rollback again',
    }
  return undefined
}

function workOfRun(lease: Lease, saved: SavedView | undefined, now: number, silent: boolean): Work {
  const holder = holderOf(lease)
  if (isExperimentHolder(holder)) return same('an experiment')
  if (lease.metadata.annotations?.[stateAnnotation] === undefined) return same('a promotion that has not begun')
  if (!saved) return same('a promotion by another version of mesh-canary, whose saved state this version cannot read')
  const { state, shown } = saved
  if (state.phase === 'ended')
    return same(`${verdictName(state.verdict ?? 'ended')} at weight ${state.weight}%: ${state.reason}`)
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
      `${versions}: handed over to the next run at step ${stage} of ${stages}, weight ${weight}%; nobody judges the canary until then`,
    )
  const then = `${versions}: ${positionLine(shown)} then`
  if (saved.run !== runOfHolder(holder))
    return same(`${then}; ${runOfHolder(holder)} has taken over, and has saved nothing yet`)
  const about = JSON.stringify([phase, stage, weight])
  if (silent) return { text: then, about }
  const msLeft = Math.max(0, shown.msLeft - Math.max(0, now - saved.savedAt))
  return { text: `${versions}: ${progressLine({ ...shown, msLeft })}`, about }
}

/** For how long, and whether somebody will act. An experiment says nothing of its guard. */
function silence(lease: Lease, shown: SavedView['shown'], now: number): string {
  const age = ageOf(lease, now)
  const silent =
    age === undefined
      ? 'its run has never renewed the Lease'
      : `its run has been silent for ${Math.round(age / 1000)} s`
  // A run without a guard is marked as watched, too.
  if (!isGuarded(lease) || (shown && shown.guardMs === undefined)) return `${silent}, and no guard watches it`
  return shown ? `${silent}, and its guard has not acted yet` : silent
}

/** Times are of two clocks: that of the run, and that of this machine. */
function describeHolder(lease: Lease, now: number): string {
  const holder = holderOf(lease)
  if (holder === '') return `nobody; last ${lease.metadata.annotations?.[runAnnotation] ?? 'unknown'}`
  if (takeoverBy(holder)) return `${runOfHolder(holder)}, which does not renew the Lease; ${lastAlive(lease, now)}`
  const age = ageOf(lease, now)
  const ago = `${Math.round((age ?? 0) / 1000)} s ago`
  if (handedOverBy(holder) !== undefined) return `nobody; ${runOfHolder(holder)} has handed it over ${ago}`
  const renewed = age === undefined ? 'never renewed' : `renewed ${ago}`
  return `${runOfHolder(holder)}, ${renewed}${isSilent(lease, now) ? ', which is longer than it may be silent' : ''}`
}

/** Of the run from which somebody has taken the Lease. */
function lastAlive(lease: Lease, now: number): string {
  const age = ageOf(lease, now)
  return age === undefined ? 'no run has renewed the Lease' : `the run was last alive ${Math.round(age / 1000)} s ago`
}

/** Milliseconds since the Lease was renewed; undefined if it never was. */
function ageOf(lease: Lease, now: number): number | undefined {
  const age = now - Date.parse(lease.spec?.renewTime ?? '')
  return Number.isNaN(age) ? undefined : Math.max(0, age)
}

/** A holder that has never renewed the Lease counts as silent: nothing shows that it is alive. */
function isSilent(lease: Lease, now: number): boolean {
  if (holderOf(lease) === '') return false
  return (ageOf(lease, now) ?? Infinity) > leaseMsOf(lease)
}

/** An experiment and an older version save no view, and a promotion without a guard saves no `guardMs`. */
function guardOf(lease: Lease, shown: SavedView['shown'], now: number): string {
  const holder = holderOf(lease)
  if (holder === '') return 'none, because nobody holds the Lease'
  if (isGuardIdentity(holder)) return 'has taken over'
  if (isRollbackIdentity(holder)) return 'that of the run before, if it has one, goes on until the traffic is returned'
  if (!isGuarded(lease)) return 'does not watch this run yet'
  const resumeWithinMs = resumeWithinOf(lease)
  if (resumeWithinMs !== undefined) {
    const leftMs = Math.max(0, resumeWithinMs - (ageOf(lease, now) ?? 0))
    return `waits for the next run; rolls back in ${Math.ceil(leftMs / 1000)} s if none resumes`
  }
  if (shown && shown.guardMs === undefined) return 'off'
  return `watches this run${shown?.guardMs === undefined ? '' : `, and acts after ${shown.guardMs / 1000} s of silence`}`
}
