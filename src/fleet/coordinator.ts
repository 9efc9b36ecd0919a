// Decides when the run of each cluster of a fleet may go on: it knows who has begun, who has failed and who waits. It
// knows no cluster and no clock.
import type { OtherClusters } from '../canary/promote.ts'

/** How the promotions of a cluster have ended. `putsBack`: those of the other clusters have to be undone. */
export type ClusterOutcome = { failure?: string; putsBack?: boolean }

/** What the run of one cluster knows of the others. */
export type Member = OtherClusters & {
  /** Resolves when all clusters have passed their checks, and the waves before are done. @throws Error if one has failed */
  turn: () => Promise<void>
  /** The run in this cluster is over. */
  ended: (outcome: ClusterOutcome) => void
  /** Resolves when the run has passed its checks, or is over. */
  checked: Promise<void>
}

type Place = {
  name: string
  wave: number
  checked: PromiseWithResolvers<void>
  settled: PromiseWithResolvers<void>
  outcome?: ClusterOutcome
}

export function createCoordinator(
  clusters: { name: string; wave: number }[],
  signal: AbortSignal,
): Map<string, Member> {
  const places = clusters.map(
    ({ name, wave }): Place => ({ name, wave, checked: Promise.withResolvers(), settled: Promise.withResolvers() }),
  )
  const stopped = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => stopped.resolve(), { once: true })
  const failed = (of = places) => of.find(({ outcome }) => outcome?.failure !== undefined)

  function settle(place: Place, outcome: ClusterOutcome): void {
    place.outcome ??= outcome
    place.checked.resolve()
    place.settled.resolve()
    if (outcome.failure !== undefined) stopped.resolve()
  }

  /** Until all of them are there, one has failed, or the run is cancelled. */
  async function waitFor(waiting: Place[], what: 'checked' | 'settled'): Promise<void> {
    await Promise.race([Promise.all(waiting.map((place) => place[what].promise)), stopped.promise])
    signal.throwIfAborted()
  }

  async function turn(place: Place): Promise<void> {
    place.checked.resolve()
    await waitFor(places, 'checked')
    await waitFor(
      places.filter(({ wave }) => wave < place.wave),
      'settled',
    )
    const other = failed()
    if (other)
      throw new Error(`${other.outcome!.failure} in the cluster ${other.name}, so nothing was changed in ${place.name}`)
  }

  function failure(place: Place): ReturnType<Member['failure']> {
    const other = failed(places.filter((each) => each !== place && each.outcome?.putsBack))
    return other && { cluster: other.name, reason: other.outcome!.failure! }
  }

  return new Map(
    places.map((place) => [
      place.name,
      {
        turn: () => turn(place),
        failure: () => failure(place),
        settle: async (outcome) => {
          settle(place, outcome)
          await waitFor(places, 'settled')
        },
        ended: (outcome) => settle(place, outcome),
        checked: place.checked.promise,
      },
    ]),
  )
}
