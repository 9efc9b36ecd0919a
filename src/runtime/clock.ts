/**
 * Milliseconds since the epoch by a clock that only goes forward: while a promotion is under way somebody may set the
 * machine's clock, and no step is to pass, or to end, for that.
 */
export function monotonicNow(): number {
  return Math.round(performance.timeOrigin + performance.now())
}
