// Waits until the canary serves nothing after its weight is 0. A written weight does not protect users yet: istiod has
// to read it, and may be a minute late if the API server refused its watches.
import type { Clock } from '../../runtime/clock.ts'

/**
 * Requests since the last sample: those that the canary served, and those that reached no version and so may have been for
 * it. Undefined if some of its sidecars did not answer, or its callers', where it has no pods.
 */
export type SampleRequests = () => Promise<{ served: number; unserved?: number } | undefined>

/**
 * `perSecond`: the canary's usual rate, so that a pause is not mistaken for the end; 0 if nobody knows it. `isUnmoved`: the
 * weight was 0 already, so no proxy has to follow. `isOver`: there is no reason to wait any longer.
 */
export type DrainOptions = {
  timeoutMs: number
  perSecond: number
  isUnmoved?: boolean
  /** How long to wait for an answer; by default 10 s. */
  unconfirmedMs?: number
  isOver: () => boolean
  clock: Clock
  note: (line: string) => void
}

export type DrainResult =
  /** It is silent. Seconds from the start until its last request ended; undefined if none was seen, before or after. */
  | { kind: 'drained'; secondsToSafe?: number }
  /** What it still serves after the timeout. */
  | { kind: 'serving'; perSecond: number; seconds: number }
  /** It serves nothing, but requests of users still fail before they reach any version. */
  | { kind: 'unserved'; perSecond: number; seconds: number }
  /** Its sidecars do not answer. */
  | { kind: 'unknown' }
  /** There was no reason to wait any longer. */
  | { kind: 'stopped' }

const sampleMs = 500
/** How long to watch a canary whose sidecars neither show requests nor confirm that there are none. */
const unconfirmedByDefaultMs = 10_000
/** The share of promotions, at most, in which a pause between late requests is mistaken for their end. */
const alpha = 0.01

/**
 * The silence, in milliseconds, after which no more requests are expected. With `perSecond` independent requests a
 * second, pauses of T seconds begin perSecond·e^(−perSecond·T) times a second (a Poisson process), so T is chosen such
 * that `alpha` of them begin in the whole timeout. It is 9.5 s at most, also where the rate is unknown.
 */
function silenceFor(perSecond: number, timeoutMs: number): number {
  const needed = perSecond === 0 ? Infinity : (1_000 * Math.log((perSecond * timeoutMs) / 1_000 / alpha)) / perSecond
  return Math.min(unconfirmedByDefaultMs - sampleMs, Math.max(2 * sampleMs, needed))
}

/** How long a look for requests past the split lasts, where none is seen. */
const unmovedSilenceMs = 2 * sampleMs

/**
 * `lastAt`: seconds until its last request ended, if there was one. `isSeen`: it is known to have served before. The
 * counters show a request only when it ends: one that began before the weight changed may still be under way.
 */
function describeSilence(lastAt: number | undefined, isSeen: boolean, seconds: number): string {
  if (lastAt !== undefined)
    return `the canary is drained: no request to it ended later than ${lastAt.toFixed(1)} s after its weight was set to 0`
  const watched = `in the ${seconds.toFixed(1)} s that this run watched it`
  return isSeen
    ? `the canary is drained: no request to it ended ${watched}`
    : `no request to the canary ended ${watched}; none was seen before either, so nothing shows that the proxies follow the weight`
}

/**
 * Watches for 10 s, and up to the timeout as long as the canary serves. A silence that begins before the timeout may end after
 * it.
 */
export async function waitForDrain(
  sample: SampleRequests,
  { timeoutMs, perSecond, isUnmoved, unconfirmedMs = unconfirmedByDefaultMs, isOver, clock, note }: DrainOptions,
): Promise<DrainResult> {
  const startedAt = clock.now()
  const elapsed = () => clock.now() - startedAt
  const limitMs = Math.max(timeoutMs, unconfirmedMs)
  let [served, unserved, servedAt, requestAt, silentSamples, isNoted] = [0, 0, -Infinity, startedAt, 0, false]
  const rate = (requests: number) => (1_000 * requests) / elapsed()
  const isSilentSince = (time: number) => {
    const fastest = Math.max(perSecond, rate(served + unserved))
    return clock.now() - time >= (isUnmoved && fastest === 0 ? unmovedSilenceMs : silenceFor(fastest, timeoutMs))
  }
  const isWithinLimit = () => elapsed() < limitMs || silentSamples > 0
  while (!isOver() && clock.now() - requestAt < unconfirmedMs && isWithinLimit()) {
    await clock.sleep(sampleMs)
    const sampled = await sample().catch(() => undefined)
    if (sampled === undefined) continue
    const requests = sampled.served + (sampled.unserved ?? 0)
    served += sampled.served
    unserved += sampled.unserved ?? 0
    silentSamples = requests === 0 ? silentSamples + 1 : 0
    if (sampled.served > 0) servedAt = clock.now()
    if (requests > 0) requestAt = clock.now()
    if (silentSamples >= 2 && isSilentSince(requestAt)) {
      const secondsToSafe = (requestAt - startedAt) / 1_000
      const hasRequests = served + unserved > 0
      const isSeen = hasRequests || perSecond > 0
      note(describeSilence(hasRequests ? secondsToSafe : undefined, isSeen, elapsed() / 1_000))
      return { kind: 'drained', ...(isSeen ? { secondsToSafe } : {}) }
    }
    if (!isNoted && elapsed() >= unconfirmedByDefaultMs) {
      const what =
        unserved > 0 && isSilentSince(servedAt)
          ? `${rate(unserved).toFixed(1)} requests/s still reach no version`
          : `the canary still serves ${rate(served).toFixed(1)} requests/s`
      note(`weight 0 is written, but ${what}: waiting for the proxies (\`progressDeadline\`)`)
      isNoted = true
    }
  }
  const seconds = Math.round(elapsed() / 1_000)
  if (served + unserved > 0 && clock.now() - requestAt < unconfirmedMs && !isOver())
    return unserved > 0 && isSilentSince(servedAt)
      ? { kind: 'unserved', perSecond: rate(unserved), seconds }
      : { kind: 'serving', perSecond: rate(served), seconds }
  const why = isOver() ? 'the run does not wait any longer' : 'its sidecars do not answer'
  note(`could not confirm within ${seconds} s that the canary drained: ${why}`)
  return { kind: isOver() ? 'stopped' : 'unknown' }
}
