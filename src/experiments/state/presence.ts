// Does the fault act all of the time, and not only at its beginning? The time is cut into parts with so many calls that a
// fault that acts shows itself in each of them. Pure.
import type { ExperimentConfig } from '../../config/schema.ts'

/** Calls to the target of the fault, and those of them in which the fault showed itself. */
export type FaultSigns = { calls: number; faulted: number }

/** `parts`: whether the fault showed itself, for each complete part. `open`: the part that is not complete. */
export type Presence = { parts: boolean[]; open: FaultSigns & { since: number | undefined } }

export const noPresence: Presence = { parts: [], open: { calls: 0, faulted: 0, since: undefined } }

/** So many faulted calls are expected in a part: that there is none by chance has a probability below 0.01%. */
const expectedInPart = 10
const mostParts = 10
/** A connection limit refuses the calls of a busy moment, so its parts are longer. */
const mostPartsOfOverload = 4

export function addSigns(
  { inject, duration }: Pick<ExperimentConfig, 'inject' | 'duration'>,
  { parts, open }: Presence,
  signs: FaultSigns,
  now: number,
): Presence {
  const { since = now } = open
  const next = { calls: open.calls + signs.calls, faulted: open.faulted + signs.faulted, since }
  const isComplete =
    next.calls * shareOf(inject) >= expectedInPart &&
    now - since >= duration / (inject.overload ? mostPartsOfOverload : mostParts)
  return isComplete
    ? { parts: [...parts, next.faulted > 0], open: { ...noPresence.open, since: now } }
    : { parts, open: next }
}

/** Of the calls that the fault concerns. */
function shareOf({ delay, abort }: ExperimentConfig['inject']): number {
  return ((delay ?? abort)?.percent ?? 100) / 100
}

/**
 * Why it cannot be said that the fault acted; undefined if it did. A killed pod shows itself once, and Chaos Mesh says
 * itself when its fault ends.
 */
export function absence({ inject }: Pick<ExperimentConfig, 'inject'>, { parts }: Presence): string | undefined {
  if (inject.podKill || inject.chaosMesh || parts.length === 0) return undefined
  const shown = parts.filter(Boolean).length
  const isMostly = shown > parts.length / 2
  if (isMostly && parts.at(-1)) return undefined
  const what = isMostly ? 'not in the last part' : `in only ${shown} of ${parts.length} parts`
  return (
    `the fault showed itself ${what} of its time, so the verdict would be of calls without it; ` +
    'let it concern more calls, or find out what removes it'
  )
}
