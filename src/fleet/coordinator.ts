// Decides when the run of each cluster of a fleet may go on: it knows who has begun, who has failed and who waits. It
// knows no cluster and no clock.
import type { ClusterOutcome, OtherClusters } from '../canary/promote.ts'

/** `server`: the address of the API server. `uid`: of the namespace, if it is known; two addresses may be one cluster. */
export type ClusterIdentity = { server: string; uid?: string | undefined }

export type Turn = { hasWaited: boolean; isOver: boolean }

/** What the run of one cluster knows of the others. */
export type Member = OtherClusters & {
  /**
   * Resolves when all clusters have passed their checks, and the waves before are done. `hasWaited`: there were any.
   * `isOver`: the next run continues, and this one begins nothing more.
   * @throws Error if one has failed, or if two names are one cluster
   */
  turn: (identity: ClusterIdentity) => Promise<Turn>
  /** The run in this cluster is over. */
  ended: (outcome: ClusterOutcome) => void
  /** Resolves when the run has passed its checks, or is over. */
  checked: Promise<void>
}

/** `identity`: once the run has reached the cluster. `hasBegun`: it had its turn, and may have written. */
type Place = {
  name: string
  wave: number
  identity?: ClusterIdentity
  checked: PromiseWithResolvers<void>
  settled: PromiseWithResolvers<void>
  hasBegun: boolean
  outcome?: ClusterOutcome
}

export function createCoordinator(
  clusters: { name: string; wave: number }[],
  signal: AbortSignal,
): Map<string, Member> {
  const places = clusters.map(
    ({ name, wave }): Place => ({
      name,
      wave,
      checked: Promise.withResolvers(),
      settled: Promise.withResolvers(),
      hasBegun: false,
    }),
  )
  // What ends the wait for a turn: any failure. What ends the wait of those that are promoted: one that puts them back.
  const [failed, undone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  signal.addEventListener('abort', () => [failed, undone].forEach(({ resolve }) => resolve()), { once: true })
  let isFinal = false

  function settle(place: Place, { failure, putsBack = false, handedOver = false }: ClusterOutcome): void {
    if (isFinal) return
    // A run that only waited has changed nothing, and its failure is that of another one.
    const outcome = { ...(failure === undefined ? {} : { failure }), putsBack: putsBack && place.hasBegun, handedOver }
    // A cluster that was promoted may be lost while it waits for the others. The end of its run changes nothing.
    if (isWorse(outcome, place.outcome)) place.outcome = outcome
    place.checked.resolve()
    place.settled.resolve()
    if (failure !== undefined) failed.resolve()
    if (place.outcome?.putsBack) undone.resolve()
    isFinal = !signal.aborted && places.every(({ outcome }) => outcome && !outcome.putsBack && !outcome.handedOver)
  }

  async function waitFor(waiting: Promise<void>[], end: PromiseWithResolvers<void>): Promise<void> {
    await Promise.race([Promise.all(waiting), end.promise])
    signal.throwIfAborted()
  }

  async function turn(place: Place, identity: ClusterIdentity): Promise<Turn> {
    place.identity = identity
    place.checked.resolve()
    const checked = places.map((each) => each.checked.promise)
    const before = places.filter(({ wave }) => wave < place.wave).map((each) => each.settled.promise)
    await waitFor(checked, failed)
    const same = places.find((each) => each !== place && isSame(each.identity, identity))
    if (same)
      throw new Error(
        `clusters: ${same.name} and ${place.name} are one cluster (${identity.server}); ` +
          'give one of them another context or kubeconfig, or remove it',
      )
    await waitFor(before, failed)
    const other = places.find(({ outcome }) => outcome?.failure !== undefined)
    if (other)
      throw new Error(
        `${other.outcome!.failure} in the cluster ${other.name}, so nothing was promoted in ${place.name}`,
      )
    const isOver = places.some(({ outcome }) => outcome?.handedOver)
    place.hasBegun = !isOver
    return { hasWaited: before.length > 0, isOver }
  }

  function failure(place: Place): ReturnType<Member['failure']> {
    const other = isFinal ? undefined : places.find((each) => each !== place && each.outcome?.putsBack)
    return other && { cluster: other.name, reason: other.outcome!.failure! }
  }

  return new Map(
    places.map((place) => [
      place.name,
      {
        turn: (identity) => turn(place, identity),
        failure: () => failure(place),
        settle: async (outcome) => {
          settle(place, outcome)
          await waitFor(
            places.map((each) => each.settled.promise),
            undone,
          )
        },
        isFinal: () => isFinal,
        ended: (outcome) => settle(place, outcome),
        checked: place.checked.promise,
      },
    ]),
  )
}

function isWorse(outcome: ClusterOutcome, before: ClusterOutcome | undefined): boolean {
  return before?.failure === undefined && (outcome.failure !== undefined || !before?.handedOver)
}

/** A run that has failed before it reached its cluster has no identity. */
function isSame(one: ClusterIdentity | undefined, other: ClusterIdentity): boolean {
  return one !== undefined && (one.server === other.server || (one.uid !== undefined && one.uid === other.uid))
}
