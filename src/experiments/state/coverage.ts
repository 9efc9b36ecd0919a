// Does the fault act all of the time, and not only at its beginning? The time is cut into parts with so many calls that a
// fault that acts shows itself in each of them. Pure.
import type { ExperimentConfig } from '../../config/schema.ts'

/** Calls to the target of the fault, and those of them in which the fault showed itself. */
export type FaultSigns = { calls: number; faulted: number }

export const noSigns: FaultSigns = { calls: 0, faulted: 0 }

export function addSigns(a: FaultSigns, b: FaultSigns): FaultSigns {
  return { calls: a.calls + b.calls, faulted: a.faulted + b.faulted }
}

/**
 * `parts`: whether the fault showed itself, for each complete part. `lastPart`: the one that is not complete. Times are
 * milliseconds; `since` is undefined before the first sample.
 */
export type FaultCoverage = { since: number | undefined; parts: boolean[]; lastPart: FaultSigns & { since: number } }

export const noCoverage: FaultCoverage = { since: undefined, parts: [], lastPart: { ...noSigns, since: 0 } }

type Fault = Pick<ExperimentConfig, 'inject' | 'duration'>

/** So many faulted calls are expected in a part: that there is none by chance has a probability below 0.01%. */
const expectedInPart = 10
/** With so many, the probability is below 1%. The part that ends with the fault has to have no more, nor the time after it. */
export const expectedAtEnd = 5
/** Of the calls that a fault of a known share should concern. Fewer by chance have a probability below 1%. */
const leastOfExpected = 0.25
const mostParts = 10
/** A connection limit refuses the calls of a busy moment, so its parts are longer. */
const mostPartsOfOverload = 4

/** Adds a sample of the time in which the fault should act. */
export function addToCoverage(fault: Fault, before: FaultCoverage, signs: FaultSigns, now: number): FaultCoverage {
  const { since = now, parts, lastPart } = before
  const start = before.since === undefined ? now : lastPart.since
  const next = { ...addSigns(lastPart, signs), since: start }
  const partMs = fault.duration / (fault.inject.overload ? mostPartsOfOverload : mostParts)
  const isComplete = expectedOf(fault, next) >= expectedInPart && now - start >= partMs
  return isComplete
    ? { since, parts: [...parts, isShown(fault, next)], lastPart: { ...noSigns, since: now } }
    : { since, parts, lastPart: next }
}

function expectedOf({ inject }: Fault, { calls }: FaultSigns): number {
  return calls * ((inject.delay ?? inject.abort)?.percent ?? 100) * 0.01
}

/**
 * Whether so many calls, none of which shows the fault, show that it acts no more. It would concern as many of them as it
 * did of those while it acted (`acted`). Evictions and the objects of Chaos Mesh are nothing that a call shows.
 */
export function isShownGone(fault: Fault, acted: FaultSigns, calls: number): boolean {
  if (fault.inject.podKill || fault.inject.chaosMesh) return true
  return calls >= callsToShowGone(fault, acted)
}

export function callsToShowGone(fault: Fault, acted: FaultSigns): number {
  const share = acted.faulted > 0 ? acted.faulted / acted.calls : expectedOf(fault, { calls: 1, faulted: 0 })
  return expectedAtEnd / share
}

/** Nobody knows how many calls have a certain header, or find a connection in use: there, one is enough. */
function isShown(fault: Fault, signs: FaultSigns): boolean {
  const { delay, abort, overload } = fault.inject
  const scope = delay ?? abort
  const isShareKnown = overload === undefined && scope?.from === undefined && scope?.match === undefined
  return signs.faulted > 0 && (!isShareKnown || signs.faulted >= leastOfExpected * expectedOf(fault, signs))
}

/**
 * Why it cannot be said that the fault acted throughout; undefined if it did. A killed pod shows itself once, and Chaos
 * Mesh says itself when its fault ends.
 */
export function whyNotActingThroughout(
  fault: Fault,
  { since = 0, parts, lastPart }: FaultCoverage,
): string | undefined {
  if (fault.inject.podKill || fault.inject.chaosMesh) return undefined
  const isLastKnown = expectedOf(fault, lastPart) >= expectedAtEnd
  const all = isLastKnown ? [...parts, isShown(fault, lastPart)] : parts
  const shown = all.filter(Boolean).length
  const isMostly = shown > all.length / 2
  const remedy = 'let it concern more calls, or find out what removes it'
  if (all.length > 0 && !(isMostly && all.at(-1))) {
    const what = isMostly ? 'not in the last part' : `in only ${shown} of ${all.length} parts`
    return `the fault showed itself ${what} of its time, so the verdict would be of calls without it; ${remedy}`
  }
  if (isLastKnown || (parts.length > 0 && lastPart.since - since >= fault.duration / 2)) return undefined
  return (
    'too few calls to the target of the fault to see whether it acted all of the time; let it concern more calls, or make ' +
    '`duration` longer'
  )
}
