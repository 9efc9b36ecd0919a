// One promotion under way: each tick takes a sample, asks the state machine what follows, and writes it to the cluster.
import { canaryKeyOf } from '../../config/names.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import { messageOf } from '../../runtime/errors.ts'
import { persist } from '../../runtime/retry.ts'
import { createExternalChecks, type ExternalChecks } from '../hooks/external-checks.ts'
import { createGates } from '../hooks/gates.ts'
import { hookStatus } from '../hooks/promotion-status.ts'
import { createWebhooks, type Webhooks } from '../hooks/webhooks.ts'
import { syntheticLoad, type SyntheticLoad } from '../load/synthetic.ts'
import { LeaseLost } from '../ownership/lease.ts'
import { explainChecks, next } from '../state/machine.ts'
import { isSteady } from '../state/steady.ts'
import { endFailed, endHeld, endOnStable, isHeldAsPlanned, outcomeOf } from '../state/ending.ts'
import { handleDriftOfPromoted } from '../state/failure-rules.ts'
import {
  beforeRaise,
  endForHandOver,
  endPromotedForHandOver,
  withWatchedTime,
  type HandOverRequest,
} from '../state/hand-over.ts'
import { resumeState } from '../state/start.ts'
import { msLeft } from '../state/progress-view.ts'
import { canaryRate, setShiftTime } from '../state/steps.ts'
import { describeTooLittleTraffic } from '../load/traffic-need.ts'
import type { Action, ActiveState, EndedState, Next, State } from '../state/types.ts'
import { splitsTraffic, type Split } from '../../policies/routes.ts'
import { hasWeight, readHighestWeight, readWeight } from '../traffic/router.ts'
import type { VersionSelectors } from '../workload/selectors.ts'
import { awaitOutcome, explainUnsettled, promotionOf, settleLease } from './conclude.ts'
import { currentObjects, type Promotion, type PromotionContext } from './context.ts'
import { withCause } from './end-reason.ts'
import { EndpointWatch } from './endpoint-watch.ts'
import { describeAction, evidenceLines } from './log-format.ts'
import { ObservationBuilder } from './observation.ts'
import {
  asConcluded,
  asUnsafe,
  asUnsettled,
  asHandedOver,
  asInterrupted,
  isRolledBack,
  isSafe,
  asLost,
  requireEnded,
  withRolledBackWith,
  withState,
  type RunStatus,
} from './run-status.ts'
import { SampleLog } from './sample-log.ts'
import { TimelineRecorder } from './timeline.ts'
import { drainTarget } from './undrained.ts'
import { isTransient, RouteWriter } from './writer.ts'

/** The rate of the users' requests is known well enough after so long. */
const rateMeasuredSeconds = 5

/** None of its methods rejects: any failure ends the promotion and rolls its traffic back to stable. */
export class PromotionRun {
  private readonly context: PromotionContext
  private status: RunStatus
  private readonly checks: ExternalChecks
  private readonly webhooks: Webhooks
  private readonly load: SyntheticLoad | undefined
  private readonly writer: RouteWriter
  private readonly endpoints: EndpointWatch
  private readonly observations: ObservationBuilder
  private readonly notifications: Promise<void>[] = []
  private readonly samples: SampleLog
  private tickStartedAt: number | undefined
  private renewedAt: number
  private isSettled = false
  private wasSteady = false
  private isTrafficKnown = false
  private readonly timeline: TimelineRecorder

  static async start(context: PromotionContext, state: ActiveState): Promise<PromotionRun> {
    const { cluster, config, plan, watched, deps } = context
    const load = plan.load && (await syntheticLoad(cluster, config, plan, watched.pods, deps.forward, deps.clock))
    return new PromotionRun(context, state, load)
  }

  private constructor(context: PromotionContext, state: ActiveState, load: SyntheticLoad | undefined) {
    const { cluster, config, split, plan, selectors, watched, session, deps } = context
    const { clock, note } = deps
    const status = () => hookStatus(split.namespace, plan, this.state, deps.clusterOfFleet)
    this.context = context
    this.status = { kind: 'running', state }
    this.renewedAt = clock.now()
    this.load = load
    this.samples = new SampleLog(plan, (state, now) => msLeft(plan, state, now))
    this.timeline = new TimelineRecorder(plan)
    this.checks = createExternalChecks(cluster, plan, status, clock)
    this.webhooks = createWebhooks(plan, status, note, clock)
    const pods = () => currentObjects(watched.pods)
    this.endpoints = new EndpointWatch({ cluster, config, plan, split, selectors, pods, clock })
    this.writer = new RouteWriter({
      cluster,
      split,
      plan,
      session,
      state: () => this.resumable(),
      rollbackObstacle: () => this.endpoints.rollbackObstacle(),
      capacity: deps.created?.(plan.service)?.capacity,
      clock,
      note,
    })
    this.observations = new ObservationBuilder(context, {
      endpoints: this.endpoints,
      checks: this.checks,
      gates: createGates((gate) => this.webhooks.ask(gate), clock),
      written: () => this.writer.written(),
    })
  }

  get plan(): CanaryConfig {
    return this.context.plan
  }

  get split(): Split {
    return this.context.split
  }

  /** What is left to do if this process dies now. */
  get intent() {
    const { session, selectors, plan, split, deps } = this.context
    return {
      split,
      identity: session.identity,
      selectors,
      drainTarget: drainTarget(plan, selectors, canaryRate(this.state, deps.clock.now())),
      needsDrainCheck: this.isSafe && this.needsDrainCheck,
    }
  }

  get selectors(): VersionSelectors {
    return this.context.selectors
  }

  get state(): State {
    return this.status.state
  }

  hasEnded(): boolean {
    return this.status.kind !== 'running'
  }

  /** True if it has not ended, or if a decision is not written yet. */
  get isBusy(): boolean {
    return !this.hasEnded() || !this.writer.isIdle()
  }

  get isSteady(): boolean {
    return this.wasSteady && !this.hasEnded() && this.writer.isIdle()
  }

  /** False if its traffic should return to stable and that is not written. */
  get isSafe(): boolean {
    return isSafe(this.status) && this.writer.isIdle()
  }

  get isHandedOver(): boolean {
    return this.status.kind === 'handed-over'
  }

  get isLost(): boolean {
    return this.status.kind === 'lost' || this.status.kind === 'unsafe'
  }

  get rolledBackWith(): string | undefined {
    return this.status.kind === 'running' ? undefined : this.status.rolledBackWith
  }

  /** True if its traffic was rolled back, and nothing has checked yet whether the proxies follow. */
  get needsDrainCheck(): boolean {
    const isChecked = this.status.kind === 'ended' && this.status.isDrainChecked
    return isRolledBack(this.status) && !isChecked && this.status.kind !== 'lost'
  }

  async tick(): Promise<void> {
    if (this.isSettled) return
    this.tickStartedAt = this.context.deps.clock.now()
    try {
      if (!this.writer.isIdle()) {
        await this.endpoints.refresh({ isWriting: true })
        if (!(await this.writer.settled())) return
        this.setShiftTime()
      }
      if (this.hasEnded()) return await this.watchPromoted()
      await this.step()
    } catch (problem) {
      if (problem instanceof LeaseLost) return await this.lose(problem)
      const { status } = this
      if (status.kind !== 'running') return this.giveUp(status.error ?? status.state.reason, problem)
      await this.rollBack(`the promotion could not continue: ${messageOf(problem)}`)
      const ended = requireEnded(this.status)
      this.status = { ...ended, error: ended.error ?? ended.state.reason }
    } finally {
      this.tickStartedAt = undefined
    }
  }

  /** Renews the Lease while there is nothing to sample; not while a sample or a write makes no progress. */
  async heartbeat(): Promise<void> {
    if (this.isStuck() || this.isSettled) return
    await this.context.session.renew(this.resumable()).catch((problem: unknown) => {
      // An ended promotion has deleted its Lease itself, or finds out when it settles it.
      if (!(problem instanceof LeaseLost) || (problem.isDeleted && this.hasEnded())) return
      return this.lose(problem)
    })
  }

  /**
   * A promoted canary that waits for others has to keep its version, its pods, its weight and its guard until they are
   * promoted as well.
   */
  private async watchPromoted(): Promise<void> {
    const { status, plan, context } = this
    if (status.kind !== 'waiting') return this.heartbeat()
    const { clock } = context.deps
    await Promise.all([this.renew(), this.endpoints.refresh()])
    await this.tendGuard()
    const unseenMs = clock.now() - this.renewedAt
    if (unseenMs > plan.progressDeadline)
      return this.rollBack(`its Lease could not be renewed for ${Math.round(unseenMs / 1_000)} s`)
    if (this.status !== status) return
    const after = this.judgePromoted(status.state)
    if (after) await this.apply(withState(status, after.state), after.actions)
  }

  /** Undefined while it is still what was promoted. */
  private judgePromoted(state: EndedState): Next<EndedState> | undefined {
    const { plan, observer, deps } = this.context
    const now = deps.clock.now()
    const fault = this.observations.fault(state, observer.health())
    if (fault !== undefined) return endFailed(plan, state, fault, now)
    const drift = this.observations.drift(state)
    return drift === undefined ? undefined : handleDriftOfPromoted(drift, plan, state, now)
  }

  /** By what the API server says now: a watch may be behind it. */
  async confirmWeight(): Promise<boolean> {
    const { cluster, split } = this.context
    if (!this.hasEnded() || this.isSettled || !this.writer.isIdle()) return false
    try {
      return (await this.renew()) && (await hasWeight(cluster, split, this.state.weight))
    } catch (problem) {
      if (problem instanceof LeaseLost) await this.lose(problem)
      return false
    }
  }

  /** Ends it and returns its traffic to stable. `rolledBackWith`: because the canary of that service failed. */
  async rollBack(reason: string, rolledBackWith?: string): Promise<void> {
    const now = this.context.deps.clock.now()
    await this.end(reason, endOnStable(this.state, 'rolled-back', reason, now), withState)
    this.status = withRolledBackWith(requireEnded(this.status), rolledBackWith)
  }

  /** Ends it as the plan says for a cancelled run: on stable, or held at its weight. A later run may resume it. */
  async cancel(reason: string): Promise<void> {
    const now = this.context.deps.clock.now()
    const ending =
      this.plan.onCancel === 'hold'
        ? endHeld(this.state, `${reason}, and its weight is held (\`onCancel\`)`, now)
        : endOnStable(this.state, 'rolled-back', reason, now)
    const resumable = this.resumable()
    await this.end(reason, ending, (status, state) => asInterrupted(status, state, resumable))
  }

  /**
   * Ends it at its weight, for the next run to continue; its guard waits for that run for so long, and then rolls back. Does
   * nothing while a decision is not written yet, or a doubt may pass. At the last moment it gives up a higher weight that is not
   * written.
   */
  async handOver(how: HandOverRequest): Promise<void> {
    const { status, plan, context } = this
    if (status.kind !== 'running') return
    const now = context.deps.clock.now()
    const left = this.writer.isIdle() ? status.state : await this.withoutRefusedRaise(status.state, how)
    if (!left || this.status !== status) return
    const resumeWithinMs = plan.guard.enabled && left.weight > 0 ? how.resumeWithinMs : undefined
    const resumable = withWatchedTime(left, now)
    const ending = endForHandOver(plan, left, how, now)
    if (!ending) return
    await this.end(how.why, ending, (before, state) =>
      isHeldAsPlanned(state) ? asHandedOver(state, resumable, resumeWithinMs) : withState(before, state),
    )
  }

  /** The run has no time left to wait until a higher weight is written. Never gives up a return to stable. */
  private async withoutRefusedRaise(state: ActiveState, { isLast }: HandOverRequest): Promise<ActiveState | undefined> {
    const { cluster, split, deps } = this.context
    const before = isLast && this.writer.isWeightRefused() ? beforeRaise(state, deps.clock.now()) : undefined
    const isInForce = before && (await hasWeight(cluster, split, before.weight).catch(() => false))
    return isInForce ? before : undefined
  }

  /** The next run finds it unfinished, so that it can still be rolled back, and promotes it at once. */
  handOverPromoted(how: HandOverRequest): void {
    const { status, plan } = this
    if (status.kind !== 'waiting' || !this.writer.isIdle()) return
    const { state } = status
    const resumeWithinMs = plan.guard.enabled ? how.resumeWithinMs : undefined
    this.status = asHandedOver(endPromotedForHandOver(plan, state, how), this.resumable(), resumeWithinMs)
  }

  /**
   * What a later run continues with, also if this one dies before it has handed it over. A promotion that waits for others is
   * not over.
   */
  private resumable(): State {
    const { status, context } = this
    const { state } = status
    if (status.kind === 'handed-over' || status.kind === 'interrupted') return status.resumable
    return status.kind === 'waiting' ? resumeState(state, state.weight, context.deps.clock.now()) : state
  }

  /** Waits until the outcome takes effect, and returns it. `fast`: only settles the Lease. */
  async conclude({ fast }: { fast: boolean }): Promise<Promotion> {
    this.checks.stop()
    this.load?.stop()
    const ended = requireEnded(this.status)
    this.status = this.writer.isIdle() ? asConcluded(ended) : asUnsafe(ended)
    const status = () => requireEnded(this.status)
    if (fast) return this.settle({ ...promotionOf(this.context, status()), timeline: this.timeline.samples })
    const promotion = await awaitOutcome({
      context: this.context,
      status,
      heartbeat: () => this.heartbeat(),
      drainChecked: () => this.drainChecked(),
    })
    const settled = await this.settle({ ...promotion, timeline: this.timeline.samples })
    this.notify('post-rollout', settled.reason)
    // The program exits after this, which would interrupt the current calls.
    await Promise.all(this.notifications)
    return settled
  }

  /** Settles the Lease, and only then says how the promotion ended: until then its guard could still undo it. */
  private async settle(ended: Promotion): Promise<Promotion> {
    const { context } = this
    const settleNow = () => settleLease(context, requireEnded(this.status))
    const settled = await settleNow()
      .catch(async (problem: unknown) => {
        if (!(problem instanceof LeaseLost)) throw problem
        await this.requireWeight(ended.weight, problem)
        const loss = await this.reclaim(problem)
        if (loss) throw loss
        await settleNow()
      })
      .then(
        () => ended,
        (problem: unknown) => this.unsettled(ended, problem),
      )
    this.isSettled = true
    context.deps.note(`${settled.verdict}: ${settled.reason}`)
    return settled
  }

  /** While the Lease was gone, anybody could move the traffic. @throws LeaseLost unless the canary has this weight. */
  private async requireWeight(weight: number, { message }: LeaseLost): Promise<void> {
    if (weight === 0) return
    const { cluster, split } = this.context
    const now = await readWeight(cluster, split).catch(() => undefined)
    if (now === undefined || Math.round(now) !== Math.round(weight))
      throw new LeaseLost(`${message}, and the weight of the canary is ${now ?? 'unknown'} now`)
  }

  private unsettled(ended: Promotion, problem: unknown): Promotion {
    const why = explainUnsettled(this.context, problem)
    // Traffic that is on stable stays there.
    if (ended.weight === 0) {
      this.context.deps.note(why)
      return ended
    }
    this.status = asUnsettled(requireEnded(this.status), why)
    return { ...ended, ...promotionOf(this.context, this.status) }
  }

  /** A sample or a write hangs. Then this run stops renewing the Lease, so that the guard takes over. */
  private isStuck(): boolean {
    const { plan, deps } = this.context
    return this.tickStartedAt !== undefined && deps.clock.now() - this.tickStartedAt > plan.guard.after / 2
  }

  private async step(): Promise<void> {
    const { context, plan } = this
    const { observer, session, deps } = context
    // Nothing is decided before all have answered.
    const [isRenewed, sample] = await Promise.all([this.renew(), observer.sample(), this.endpoints.refresh()])
    await this.tendGuard()
    const observation = this.observations.build(this.state, sample, isRenewed, await session.guardStatus())
    // Another promotion or a cancel may end it during each wait.
    if (this.hasEnded()) return
    const now = deps.clock.now()
    const line = this.samples.lineFor(this.state, observation, now)
    if (line !== undefined) deps.note(line)
    this.warnOfTooLittleTraffic()
    this.load?.aim(this.state, observation)
    const { state, actions } = next(plan, this.state, observation, now)
    const results = explainChecks(plan, state)
    this.timeline.record(this.state, results, observation, now)
    this.wasSteady = isSteady(plan, state, results, observation, now)
    evidenceLines(plan, state, results).forEach((line) => deps.note(line))
    const explained = await withCause(context, state, sample)
    if (this.hasEnded()) return
    await this.apply(withState(this.status, explained), actions)
  }

  /** Once, by what users have sent since the first step asked for traffic. */
  private warnOfTooLittleTraffic(): void {
    const { config, plan, deps } = this.context
    const { steps, canary, stable } = this.state
    const seconds = (deps.clock.now() - (steps[0]?.shiftedAt ?? Infinity)) / 1000
    if (this.isTrafficKnown || seconds < rateMeasuredSeconds) return
    this.isTrafficKnown = true
    const tooLittle = describeTooLittleTraffic(plan, (canary.requests + stable.requests) / seconds)
    if (tooLittle !== undefined) deps.warn(`${canaryKeyOf(config, plan.service)}: ${tooLittle}`)
  }

  /** False while the API server does not answer, because then nothing is known about the canary either. */
  private async renew(): Promise<boolean> {
    const { session, deps } = this.context
    try {
      await session.renew(this.resumable())
      this.renewedAt = deps.clock.now()
      return true
    } catch (problem) {
      // A promoted canary that waits keeps its traffic for `progressDeadline`, whatever the reason: nothing says it is bad.
      if (problem instanceof LeaseLost || (!isTransient(problem) && !this.hasEnded())) throw problem
      deps.note(`the Lease could not be renewed: ${messageOf(problem)}`)
      return false
    }
  }

  /** Sees that the guard runs, and that it knows all routes. */
  private async tendGuard(): Promise<void> {
    const { session, watched, split, deps } = this.context
    try {
      await session.checkGuard()
      await session.coverRoutes(currentObjects(watched.routes).filter((object) => splitsTraffic(object, split)))
    } catch (problem) {
      if (problem instanceof LeaseLost) throw problem
      deps.note(`the guard could not be checked: ${messageOf(problem)}`)
    }
  }

  private async apply(status: RunStatus, actions: Action[]): Promise<void> {
    const isStart = this.state.phase === 'waiting' && status.state.phase !== 'waiting'
    this.status = status
    if (isStart) this.checks.start()
    const outcome = outcomeOf(status.state)
    if (outcome) this.context.deps.note(`decision: ${outcome.verdict}, because ${outcome.reason}`)
    const changes = actions.map((action) => describeAction(this.plan, action)).join('; ')
    if (actions.length > 0 || outcome) this.notify('event', changes || (outcome?.reason ?? ''))
    if ((await this.writer.write(actions)) && actions.length > 0) this.setShiftTime()
  }

  private setShiftTime(): void {
    const { status, context } = this
    if (status.kind === 'running')
      this.status = { ...status, state: setShiftTime(status.state, context.deps.clock.now()) }
  }

  private async end(
    reason: string,
    { state, actions }: Next<EndedState>,
    toStatus: (status: RunStatus, state: EndedState) => RunStatus,
  ): Promise<void> {
    if (this.status.kind === 'lost') return
    try {
      this.writer.drop()
      await this.apply(toStatus(this.status, state), actions)
    } catch (problem) {
      if (problem instanceof LeaseLost) await this.lose(problem)
      else this.giveUp(reason, problem)
    }
  }

  /** Leaves pending writes to the post step and to the guard, which retries as long as necessary. */
  private giveUp(reason: string, problem: unknown): void {
    this.writer.drop()
    const error = `${reason}; and rolling back to stable failed: ${messageOf(problem)}`
    this.status = asUnsafe(requireEnded(this.status), error)
    this.context.deps.note(error)
  }

  private async lose(problem: LeaseLost): Promise<void> {
    const loss = await this.reclaim(problem)
    const reason = `this run lost the promotion: ${(loss ?? problem).message}`
    // Its guard is gone with the deleted Lease.
    if (!loss) return this.hasEnded() ? undefined : this.rollBack(reason)
    const { clock, note } = this.context.deps
    const wasRunning = !this.hasEnded()
    // The holder of the Lease decides, so this run stops writing.
    const isWritten = this.writer.isIdle()
    this.writer.drop()
    const { cluster, split } = this.context
    const weight = await readHighestWeight(cluster, split).catch(() => undefined)
    const { state } = endOnStable(this.state, weight === 0 ? 'rolled-back' : 'inconclusive', reason, clock.now())
    const lost = asLost(this.status, { ...state, weight: weight ?? this.state.weight }, reason)
    this.status = isWritten || weight === 0 ? lost : asUnsafe(lost, reason)
    if (wasRunning) note(reason)
  }

  /** Takes a Lease again that somebody has deleted. Returns why that cannot be, if another run decides. */
  private async reclaim(problem: LeaseLost): Promise<LeaseLost | undefined> {
    if (!problem.isDeleted) return problem
    const { session, plan, deps } = this.context
    const retry = { limitMs: plan.progressDeadline, intervalMs: plan.pollInterval, isTransient, ...deps }
    try {
      await persist(session.reclaim, retry)
    } catch (error) {
      return error instanceof LeaseLost ? error : problem
    }
    deps.note(`${problem.message}, and no other run holds it: this run has created it again`)
    return undefined
  }

  private drainChecked(): void {
    // The post step continues a cancelled wait.
    const isDrainChecked = !this.context.deps.signal.aborted
    if (this.status.kind === 'ended') this.status = { ...this.status, isDrainChecked }
  }

  private notify(...news: Parameters<Webhooks['notify']>): void {
    this.notifications.push(this.webhooks.notify(...news))
  }
}
