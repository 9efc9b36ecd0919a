// Decides whether a repeated status line is logged again. Pure.

/** Nothing that goes on is silent for longer. */
const longestSilenceMs = 10_000

/**
 * True for what says something new, and for what says the same again after ten seconds. `about`: what has to change for it
 * to be news; `now`: in milliseconds.
 */
export function newsFilter(): (about: string | undefined, now: number) => boolean {
  let last: { about: string | undefined; at: number } | undefined
  return (about, now) => {
    if (last && about === last.about && now - last.at < longestSilenceMs) return false
    last = { about, at: now }
    return true
  }
}
