// Decides when the run of each cluster of a fleet may go on: it knows who has begun, who has failed and who waits. It
// knows no cluster and no clock.
import type { ClusterOutcome } from '../canary/other-clusters.ts'
import type { ClusterIdentity, Others, Turn } from '../stages/context.ts'

/** What the run of one cluster knows of the others. */
export type Member = Others & {
  /** The run in this cluster has ended. */
  ended: (outcome: ClusterOutcome) => void
  /** Resolves when the run has passed its checks, or has ended. */
  checked: Promise<void>
}

/** `identity`: once the run has reached the cluster. `hasBegun`: it had its turn, and may have written. */
type MemberState = {
  name: string
  wave: number
  identity?: ClusterIdentity
  checked: PromiseWithResolvers<void>
  reported: PromiseWithResolvers<void>
  hasBegun: boolean
  /** Nothing that was promoted there was undone since all have reported. */
  isConfirmed: boolean
  outcome?: ClusterOutcome
}

type Failure = { member: MemberState; reason: string; rollsBackOthers: boolean }

export function createCoordinator(
  clusters: { name: string; wave: number }[],
  signal: AbortSignal,
): Map<string, Member> {
  const members = clusters.map(
    ({ name, wave }): MemberState => ({
      name,
      wave,
      checked: Promise.withResolvers(),
      reported: Promise.withResolvers(),
      hasBegun: false,
      isConfirmed: false,
    }),
  )
  // Any failure ends the wait for a turn. The wait of those that are promoted ends when nothing changes for them any more.
  const [failed, decided] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  signal.addEventListener('abort', () => [failed, decided].forEach(({ resolve }) => resolve()), { once: true })
  /** In the order in which they happened: the first is the cause. */
  const failures: Failure[] = []
  let isFinal = false

  function record(member: MemberState, { failure, rollsBackOthers = false, handedOver = false }: ClusterOutcome): void {
    if (isFinal) return
    const { outcome: before = {} } = member
    // A run that only waited has changed nothing, and its failure is that of another one.
    const rollsBack = rollsBackOthers && member.hasBegun
    // A cluster that was promoted or held may be lost while it waits for the others. The end of its run changes nothing.
    const isWorse = failure !== undefined && (before.failure === undefined || (rollsBack && !before.rollsBackOthers))
    member.outcome = { ...before, handedOver: handedOver || before.handedOver === true }
    if (isWorse) {
      Object.assign(member.outcome, { failure, rollsBackOthers: rollsBack })
      failures.push({ member, reason: failure, rollsBackOthers: rollsBack })
    }
    member.checked.resolve()
    member.reported.resolve()
    if (failure !== undefined) failed.resolve()
    decide()
  }

  const needsRollback = () => members.some(({ outcome }) => outcome?.rollsBackOthers)
  const haveAllReported = () => members.every(({ outcome }) => outcome)
  const isLastLook = () => haveAllReported() && !needsRollback() && !members.some(({ outcome }) => outcome?.handedOver)

  function decide(): void {
    isFinal ||= !signal.aborted && isLastLook() && members.every(({ isConfirmed }) => isConfirmed)
    if (isFinal || needsRollback() || (haveAllReported() && !isLastLook())) decided.resolve()
  }

  async function waitFor(waiting: Promise<void>[]): Promise<void> {
    await Promise.race([Promise.all(waiting), failed.promise])
    signal.throwIfAborted()
  }

  async function turn(member: MemberState, identity: ClusterIdentity): Promise<Turn> {
    member.identity = identity
    member.checked.resolve()
    const checked = members.map((each) => each.checked.promise)
    const before = members.filter(({ wave }) => wave < member.wave).map((each) => each.reported.promise)
    await waitFor(checked)
    const same = members.find((each) => each !== member && isSame(each.identity, identity))
    if (same)
      throw new Error(
        `clusters: \`${same.name}\` and \`${member.name}\` are the same cluster (${identity.server}); ` +
          'give one of them another context or kubeconfig, or remove it',
      )
    await waitFor(before)
    const [first] = failures
    if (first)
      throw new Error(`${first.reason} in the cluster ${first.member.name}, so nothing was promoted in ${member.name}`)
    const isOutOfTime = members.some(({ outcome }) => outcome?.handedOver)
    member.hasBegun = !isOutOfTime
    return { hasWaited: before.length > 0, isOutOfTime }
  }

  function failure(member: MemberState): ReturnType<Member['failure']> {
    const elsewhere = failures.find((each) => each.member !== member && each.rollsBackOthers)
    return isFinal || !elsewhere ? undefined : { cluster: elsewhere.member.name, reason: elsewhere.reason }
  }

  return new Map(
    members.map((member) => [
      member.name,
      {
        turn: (identity) => turn(member, identity),
        failure: () => failure(member),
        report: async (outcome) => {
          record(member, outcome)
          await decided.promise
          signal.throwIfAborted()
        },
        isLastLook,
        confirm: () => {
          member.isConfirmed = true
          decide()
        },
        isFinal: () => isFinal,
        ended: (outcome) => {
          member.isConfirmed = true
          // The error of a run repeats the failure of its canaries, which may be one that rolls nobody back.
          record(member, member.outcome?.failure === undefined ? outcome : {})
        },
        checked: member.checked.promise,
      },
    ]),
  )
}

/**
 * A run that has failed before it reached its cluster has no identity. Behind two tunnels, two clusters may have one address, so
 * that counts only where the namespaces cannot tell.
 */
function isSame(one: ClusterIdentity | undefined, other: ClusterIdentity): boolean {
  if (one?.uid !== undefined && other.uid !== undefined) return one.uid === other.uid
  return one?.server === other.server
}
