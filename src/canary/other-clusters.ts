// What the promotions of one cluster of a fleet say to those of the others, and how they wait for them.
import type { Clock } from '../runtime/clock.ts'
import { unlessAborted } from '../runtime/timeout.ts'
import {
  decisiveFailure,
  describeFailure,
  hasFailed,
  isHeld,
  isPromoted,
  withHeartbeat,
  type ActivePromotion,
} from './active-promotion.ts'
import type { HandOverSchedule } from './state/hand-over.ts'

/**
 * How the promotions of a cluster have ended. `rollsBackOthers`: those of the other clusters have to be rolled back.
 * `handedOver`: the next run continues them, so those of the others are not over either.
 */
export type ClusterOutcome = { failure?: string; rollsBackOthers?: boolean; handedOver?: boolean }

/** The promotions of the same run in the other clusters of a fleet. */
export type OtherClusters = {
  /** What has failed there, so that the promotions here have to be rolled back; undefined while nothing has. */
  failure: () => { cluster: string; reason: string } | undefined
  /** Says how the promotions here have ended; resolves when it is known what that means: `isFinal`, `failure`, or neither. */
  report: (outcome: ClusterOutcome) => Promise<void>
  /** All clusters have reported well, and some time ago: each looks once more, because nobody may have seen it since. */
  isLastLook: () => boolean
  /** What was promoted here still is, by a look that began after `isLastLook`. */
  confirm: () => void
  /** No cluster rolls another one back any more: each finishes by itself, whatever happens elsewhere. */
  isFinal: () => boolean
}

/** The promotions here. `isOutOfTime`: the time of the run ended before all could start. */
type OwnPromotions = {
  runs: ActivePromotion[]
  isOutOfTime: boolean
  deps: { signal: AbortSignal; clock: Clock; runsUntil?: HandOverSchedule | undefined }
}

export function outcomeOf(own: OwnPromotions): ClusterOutcome {
  const failed = decisiveFailure(own.runs)
  // The others know already what this one was rolled back with.
  const isCause = failed?.rolledBackWith === undefined
  const failure = failed && { failure: describeFailure(failed), rollsBackOthers: isCause && !isHeld(failed) }
  return { ...failure, handedOver: isHandedOver(own) }
}

/** The next run continues some of them. */
export function isHandedOver({ runs, isOutOfTime }: OwnPromotions): boolean {
  return isOutOfTime || runs.some((run) => run.isHandedOver === true)
}

/**
 * Not only once the rollback is written: an API server that is away must not keep a bad version in the other clusters.
 * A held canary rolls nobody back, and another one of its cluster may still fail.
 */
export function tellOfFailure(own: OwnPromotions, others: OtherClusters | undefined): void {
  const failed = decisiveFailure(own.runs)
  if (!failed || isHeld(failed) || failed.rolledBackWith !== undefined) return
  void others?.report(outcomeOf(own)).catch(() => undefined)
}

const waitPollMs = 2_000

/**
 * Looks now and then whether what was promoted here is still so, and tells the others if it is not. `reported`: the wait
 * for them.
 */
export async function watchWhileWaiting(
  own: OwnPromotions,
  others: OtherClusters,
  reported: Promise<void>,
): Promise<void> {
  const { runs, deps } = own
  const { signal, clock, runsUntil } = deps
  const over = new AbortController()
  void reported.catch(() => undefined).then(() => over.abort())
  const ends = AbortSignal.any([signal, over.signal])
  const unlessOver = (problem: unknown) => {
    if (!ends.aborted) throw problem
  }
  const lastLook = createLastLook(own, others)
  const look = async () => {
    await clock.sleep(waitPollMs, ends)
    if (ends.aborted) return
    const confirm = lastLook()
    await Promise.all(runs.map((run) => run.tick()))
    await confirm()
  }
  // A cancelled run does not wait for a look. Any other does: after the end of the promotions, a look would take the Lease again.
  while (!ends.aborted) {
    await withHeartbeat(runs, unlessAborted(look(), signal).catch(unlessOver))
    tellOfFailure(own, others)
    if (runsUntil && clock.now() >= runsUntil.latestAt + graceMs(runsUntil)) return
  }
}

/** A cluster in doubt decides at `latestAt` only, and what is promoted elsewhere has to hear of it. */
const graceMs = ({ at, latestAt }: HandOverSchedule) => Math.min(15_000, (latestAt - at) / 4)

/**
 * Called before each look; returns what follows it. What its guard has rolled back shows in the Lease as soon as the API server
 * answers. One that cannot be confirmed for `progressDeadline` counts as lost.
 */
function createLastLook(own: OwnPromotions, others: OtherClusters): () => () => Promise<void> {
  const { runs, deps } = own
  const isCancelled = () => deps.signal.aborted
  let since: number | undefined
  return () => {
    const isLast = others.isLastLook()
    if (isLast) since ??= deps.clock.now()
    return async () => {
      if (since === undefined || !isLast || isCancelled()) return
      const kept = runs.filter((run) => !hasFailed(run))
      const confirmed = await Promise.all(kept.map(async (run) => (await run.confirmWeight?.()) ?? true))
      if (isCancelled()) return
      const unseenMs = deps.clock.now() - since
      const unseen = kept.filter((_, i) => !confirmed[i])
      const lost = unseen.filter(({ plan }) => unseenMs > plan.progressDeadline)
      const reason = `this run could not confirm for ${Math.round(unseenMs / 1_000)} s that it still has its traffic`
      await Promise.all(lost.map((run) => run.rollBack(reason)))
      // One that the look has rolled back has its weight and its Lease as well.
      if (unseen.length === 0 && !outcomeOf(own).rollsBackOthers) others.confirm()
    }
  }
}

/** The time of the run ended before all were promoted, here and in the other clusters. */
export function handOverPromoted(
  runs: ActivePromotion[],
  others: OtherClusters | undefined,
  schedule: HandOverSchedule,
): void {
  const promoted = runs.filter(isPromoted)
  if (promoted.length === 0) return
  void others?.report({ handedOver: true }).catch(() => undefined)
  promoted.forEach((run) => run.handOverPromoted?.({ ...schedule, isLast: true }))
}
