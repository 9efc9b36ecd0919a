// Decides when the run of each cluster of a fleet may go on: it knows who has begun, who has failed and who waits. It
// knows no cluster and no clock.
import type { OtherClusters } from '../canary/promote.ts'

/** How the promotions of a cluster have ended. `putsBack`: those of the other clusters have to be undone. */
export type ClusterOutcome = { failure?: string; putsBack?: boolean }

/** What the run of one cluster knows of the others. */
export type Member = OtherClusters & {
  /**
   * Resolves when all clusters have passed their checks, and the waves before are done. `server`: the address of the API
   * server. @throws Error if one has failed, or if two names are one cluster
   */
  turn: (server: string) => Promise<void>
  /** The run in this cluster is over. */
  ended: (outcome: ClusterOutcome) => void
  /** Resolves when the run has passed its checks, or is over. */
  checked: Promise<void>
}

/** `server`: the address of the API server, once the run has reached it. */
type Place = {
  name: string
  wave: number
  server?: string
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
  // What ends the wait for a turn: any failure. What ends the wait of those that are promoted: one that puts them back.
  const [failed, undone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  signal.addEventListener('abort', () => [failed, undone].forEach(({ resolve }) => resolve()), { once: true })

  function settle(place: Place, outcome: ClusterOutcome): void {
    // A cluster that was promoted may be lost while it waits for the others.
    if (place.outcome?.failure === undefined) place.outcome = outcome
    place.checked.resolve()
    place.settled.resolve()
    if (outcome.failure !== undefined) failed.resolve()
    if (outcome.putsBack) undone.resolve()
  }

  async function waitFor(waiting: Promise<void>[], end: PromiseWithResolvers<void>): Promise<void> {
    await Promise.race([Promise.all(waiting), end.promise])
    signal.throwIfAborted()
  }

  async function turn(place: Place, server: string): Promise<void> {
    place.server = server
    place.checked.resolve()
    const checked = places.map((each) => each.checked.promise)
    const before = places.filter(({ wave }) => wave < place.wave).map((each) => each.settled.promise)
    await waitFor(checked, failed)
    const same = places.find((each) => each !== place && each.server === server)
    if (same)
      throw new Error(
        `clusters: ${same.name} and ${place.name} have the same API server (${server}); ` +
          'give one of them another context or kubeconfig, or remove it',
      )
    await waitFor(before, failed)
    const other = places.find(({ outcome }) => outcome?.failure !== undefined)
    if (other)
      throw new Error(
        `${other.outcome!.failure} in the cluster ${other.name}, so this run changed nothing in ${place.name}; ` +
          'a canary that has traffic there from an earlier run keeps it until you run the stage rollback',
      )
  }

  function failure(place: Place): ReturnType<Member['failure']> {
    const other = places.find((each) => each !== place && each.outcome?.putsBack)
    return other && { cluster: other.name, reason: other.outcome!.failure! }
  }

  return new Map(
    places.map((place) => [
      place.name,
      {
        turn: (server) => turn(place, server),
        failure: () => failure(place),
        settle: async (outcome) => {
          settle(place, outcome)
          await waitFor(
            places.map((each) => each.settled.promise),
            undone,
          )
        },
        ended: (outcome) => settle(place, outcome),
        checked: place.checked.promise,
      },
    ]),
  )
}
