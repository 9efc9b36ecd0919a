// Decides when the run of each cluster of a fleet may go on: it knows who has begun, who has failed and who waits. It
// knows no cluster and no clock.
import type { ClusterOutcome } from '../canary/other-clusters.ts'
import type { ClusterIdentity, FleetPeers, Turn } from '../stages/context.ts'

/** What the run of one cluster knows of the others. */
export type Member = FleetPeers & {
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

/** A member for each cluster, by its name. */
export function createCoordinator(
  clusters: { name: string; wave: number }[],
  signal: AbortSignal,
): Map<string, Member> {
  return new FleetCoordinator(clusters, signal).forRuns()
}

class FleetCoordinator {
  private readonly members: MemberState[]
  private readonly signal: AbortSignal
  /** Any failure ends the wait for a turn. */
  private readonly failed = Promise.withResolvers<void>()
  /** The wait of those that are promoted ends when nothing changes for them any more. */
  private readonly decided = Promise.withResolvers<void>()
  /** In the order in which they happened: the first is the cause. */
  private readonly failures: Failure[] = []
  private isFinal = false

  constructor(clusters: { name: string; wave: number }[], signal: AbortSignal) {
    this.members = clusters.map(({ name, wave }) => ({
      name,
      wave,
      checked: Promise.withResolvers(),
      reported: Promise.withResolvers(),
      hasBegun: false,
      isConfirmed: false,
    }))
    this.signal = signal
    const endWaits = () => [this.failed, this.decided].forEach(({ resolve }) => resolve())
    signal.addEventListener('abort', endWaits, { once: true })
  }

  forRuns(): Map<string, Member> {
    return new Map(this.members.map((member) => [member.name, this.asSeenBy(member)]))
  }

  private asSeenBy(member: MemberState): Member {
    return {
      turn: (identity) => this.turn(member, identity),
      failure: () => this.failureFor(member),
      report: async (outcome) => {
        this.record(member, outcome)
        await this.decided.promise
        this.signal.throwIfAborted()
      },
      isLastLook: () => this.isLastLook(),
      confirm: () => {
        member.isConfirmed = true
        this.decide()
      },
      isFinal: () => this.isFinal,
      ended: (outcome) => {
        member.isConfirmed = true
        // The error of a run repeats the failure of its canaries, which may be one that rolls nobody back.
        this.record(member, member.outcome?.failure === undefined ? outcome : {})
      },
      checked: member.checked.promise,
    }
  }

  private record(member: MemberState, { failure, rollsBackOthers = false, handedOver = false }: ClusterOutcome): void {
    if (this.isFinal) return
    const { outcome: before = {} } = member
    // A run that only waited has changed nothing, and its failure is that of another one.
    const rollsBack = rollsBackOthers && member.hasBegun
    // A cluster that was promoted or held may be lost while it waits for the others. The end of its run changes nothing.
    const isWorse = failure !== undefined && (before.failure === undefined || (rollsBack && !before.rollsBackOthers))
    member.outcome = { ...before, handedOver: handedOver || before.handedOver === true }
    if (isWorse) {
      Object.assign(member.outcome, { failure, rollsBackOthers: rollsBack })
      this.failures.push({ member, reason: failure, rollsBackOthers: rollsBack })
    }
    member.checked.resolve()
    member.reported.resolve()
    if (failure !== undefined) this.failed.resolve()
    this.decide()
  }

  private decide(): void {
    this.isFinal ||= !this.signal.aborted && this.isLastLook() && this.members.every(({ isConfirmed }) => isConfirmed)
    if (this.isFinal || this.needsRollback() || (this.haveAllReported() && !this.isLastLook())) this.decided.resolve()
  }

  private needsRollback(): boolean {
    return this.members.some(({ outcome }) => outcome?.rollsBackOthers)
  }

  private haveAllReported(): boolean {
    return this.members.every(({ outcome }) => outcome)
  }

  private isHandedOver(): boolean {
    return this.members.some(({ outcome }) => outcome?.handedOver)
  }

  private isLastLook(): boolean {
    return this.haveAllReported() && !this.needsRollback() && !this.isHandedOver()
  }

  private async turn(member: MemberState, identity: ClusterIdentity): Promise<Turn> {
    member.identity = identity
    member.checked.resolve()
    const before = this.members.filter(({ wave }) => wave < member.wave)
    await this.waitFor(this.members.map((each) => each.checked.promise))
    const same = this.members.find((each) => each !== member && isSame(each.identity, identity))
    if (same)
      throw new Error(
        `clusters: \`${same.name}\` and \`${member.name}\` are the same cluster (${identity.server}); ` +
          'give one of them another context or kubeconfig, or remove it',
      )
    await this.waitFor(before.map((each) => each.reported.promise))
    const [first] = this.failures
    if (first)
      throw new Error(`${first.reason} in the cluster ${first.member.name}, so nothing was promoted in ${member.name}`)
    const isOutOfTime = this.isHandedOver()
    member.hasBegun = !isOutOfTime
    return { hasWaited: before.length > 0, isOutOfTime }
  }

  private async waitFor(waiting: Promise<void>[]): Promise<void> {
    await Promise.race([Promise.all(waiting), this.failed.promise])
    this.signal.throwIfAborted()
  }

  private failureFor(member: MemberState): ReturnType<Member['failure']> {
    const elsewhere = this.failures.find((each) => each.member !== member && each.rollsBackOthers)
    return this.isFinal || !elsewhere ? undefined : { cluster: elsewhere.member.name, reason: elsewhere.reason }
  }
}

/**
 * A run that has failed before it reached its cluster has no identity. Behind two tunnels, two clusters may have one address, so
 * that counts only where the namespaces cannot tell.
 */
function isSame(one: ClusterIdentity | undefined, other: ClusterIdentity): boolean {
  if (one?.uid !== undefined && other.uid !== undefined) return one.uid === other.uid
  return one?.server === other.server
}
