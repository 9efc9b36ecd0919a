// Follows the rollout of an engine: each tick reads how far the engine is, takes a sample, and aborts the rollout once the
// evidence condemns the canary.
import { currentObjects, type Promotion } from '../canary/controller/context.ts'
import { diagnose, type Diagnosis } from '../canary/controller/diagnosis.ts'
import { evidenceLines } from '../canary/controller/log-format.ts'
import { SampleLog } from '../canary/controller/sample-log.ts'
import { TimelineRecorder } from '../canary/controller/timeline.ts'
import { drainTarget, type DrainTarget } from '../canary/controller/undrained.ts'
import { isTransient } from '../canary/controller/writer.ts'
import { readRoutes } from '../canary/traffic/router.ts'
import { createExternalChecks, type ExternalChecks } from '../canary/hooks/external-checks.ts'
import { hookStatus } from '../canary/hooks/promotion-status.ts'
import type { Observer } from '../canary/metrics/observer.ts'
import type { ActivePromotion, RecoveryIntent } from '../canary/active-promotion.ts'
import { isSteady } from '../canary/state/steady.ts'
import { end } from '../canary/state/ending.ts'
import { initialState } from '../canary/state/start.ts'
import { canaryRate, endCurrentStep } from '../canary/state/steps.ts'
import type { ActiveState, EndedState, EngineVerdict, Observation, State, StepOutcome } from '../canary/state/types.ts'
import type { VersionSelectors } from '../canary/workload/selectors.ts'
import { isConflict } from '../cluster/api-error.ts'
import { canaryKeyOf } from '../config/names.ts'
import type { CanaryConfig } from '../config/schema.ts'
import type { Routed, Split } from '../policies/routes.ts'
import { messageOf } from '../runtime/errors.ts'
import type { FollowContext } from './context.ts'
import { abortRollout } from './abort.ts'
import { confirmDrained } from './drained.ts'
import { weightIn, type Live } from './engine.ts'
import { judge } from './judge.ts'
import { endChanged, endingOf, type Ending } from './outcome.ts'
import { isHalted, isUnderWay, type RolloutProgress } from './progress.ts'
import { endPause } from './resume.ts'

/** Why this run aborts the rollout, and since when. `rolledBackWith`: the service whose canary failed. */
type Condemned = { reason: string; at: number; rolledBackWith?: string | undefined }

/** None of its methods rejects. If it fails itself, the engine goes on alone. */
export class FollowedRun implements ActivePromotion {
  private readonly context: FollowContext
  private readonly checks: ExternalChecks
  private readonly samples: SampleLog
  private timeline: TimelineRecorder
  private current: State
  private selectorsNow: VersionSelectors
  private observer: Observer | undefined
  private revision: string | undefined
  private progress: RolloutProgress | undefined
  private condemned: Condemned | undefined
  private error: string | undefined
  private engineVerdict: EngineVerdict | undefined
  private heldSince: number | undefined
  private failingSince: number | undefined
  private waitingSince: number | undefined
  private diagnosing: Promise<Diagnosis[]> | undefined
  private isAbortWritten = false
  private isOver = false
  private joinedAt: number | undefined
  private isResumed = false
  private isDrainChecked = false
  private wasSteady = false

  constructor(context: FollowContext, state: ActiveState, selectors: VersionSelectors) {
    const { cluster, plan, split, deps } = context
    this.context = context
    this.current = state
    if (context.isBegun) this.revision = context.from
    this.selectorsNow = selectors
    // Only the controller knows how long a rollout lasts.
    this.samples = new SampleLog(plan, () => undefined)
    this.timeline = new TimelineRecorder(plan)
    this.waitingSince = deps.clock.now()
    const status = () => hookStatus(split.namespace, plan, this.state, deps.clusterOfFleet)
    this.checks = createExternalChecks(cluster, plan, status, deps.clock)
  }

  get plan(): CanaryConfig {
    return this.context.plan
  }

  get split(): Split {
    return this.context.split
  }

  get selectors(): VersionSelectors {
    return this.selectorsNow
  }

  get state(): State {
    return this.current
  }

  get where(): string {
    const { engine } = this.context
    if (!this.progress) return `moved by ${engine.title}, which has not been read yet`
    const { phase, where, weight } = this.progress
    return `moved by ${engine.title}: ${phase}, ${where}, weight ${weight}%`
  }

  get intent(): RecoveryIntent {
    const { type, name, from, split, wroteNothing } = this.context
    const holds = this.plan.onCancel === 'hold' && !this.condemned ? { holds: true as const } : {}
    const none = { from, ...(wroteNothing ? { wroteNothing } : {}) }
    const which = this.revision === undefined ? none : { revision: this.revision }
    const isRolledBack = this.hasEnded() && this.isSafe && this.needsDrainCheck
    return {
      split,
      identity: '',
      selectors: this.selectorsNow,
      drainTarget: this.drainTarget,
      needsDrainCheck: isRolledBack,
      followed: { type, name, ...which, ...holds },
    }
  }

  private get drainTarget(): DrainTarget {
    return drainTarget(this.plan, this.selectorsNow, canaryRate(this.current, this.context.deps.clock.now()))
  }

  hasEnded(): boolean {
    return this.current.phase === 'ended'
  }

  get isBusy(): boolean {
    return !this.hasEnded()
  }

  get isSteady(): boolean {
    return this.wasSteady && !this.hasEnded() && !this.condemned
  }

  /** False while an abort is decided, and the engine has not returned the traffic. */
  get isSafe(): boolean {
    if (!this.hasEnded()) return false
    return this.condemned === undefined || this.isOver || this.verdict === 'rolled-back'
  }

  get rolledBackWith(): string | undefined {
    return this.condemned?.rolledBackWith
  }

  /** It has no Lease that somebody could take. */
  get isLost(): boolean {
    return false
  }

  get needsDrainCheck(): boolean {
    return this.verdict === 'rolled-back' && this.current.steps.length > 0 && !this.isDrainChecked
  }

  private get verdict() {
    return this.current.phase === 'ended' ? this.current.verdict : undefined
  }

  async heartbeat(): Promise<void> {
    // No Lease: the engine goes on by itself.
  }

  async tick(): Promise<void> {
    const { deps, plan } = this.context
    if (this.hasEnded()) return
    try {
      await this.step()
      this.failingSince = undefined
    } catch (problem) {
      const { clock, note } = deps
      this.failingSince ??= clock.now()
      const isPassing = isTransient(problem) && clock.now() - this.failingSince < plan.progressDeadline
      if (isPassing) return note(`this poll failed: ${messageOf(problem)}`)
      this.finish(this.blind(messageOf(problem)))
    }
  }

  private async step(): Promise<void> {
    const { cluster, engine, split, name, uid } = this.context
    const live = await engine.read(cluster, split.namespace, name)
    if (!live || (uid !== undefined && live.object.metadata.uid !== uid))
      return this.finish(this.blind(`the ${engine.kind} ${split.namespace}/${name} was deleted`))
    const progress = engine.progress(live, weightIn(await this.routes(), split))
    this.tell(progress)
    if (engine.template(live) !== this.context.template)
      return this.finish(endChanged({ engine: engine.title, title: this.context.title }))
    this.notice(live, progress)
    await this.sample(progress)
    if (this.hasEnded()) return
    await this.act(live, progress)
  }

  /** A watch that is out of date shows weights that may be gone. */
  private async routes(): Promise<Routed[]> {
    const { watched, cluster, split } = this.context
    const isFresh = watched.routes.every((each) => each.fresh())
    return isFresh ? currentObjects(watched.routes) : readRoutes(cluster, split)
  }

  /** Logs where the engine is, when that has changed. */
  private tell(progress: RolloutProgress): void {
    const line = ({ phase, where, weight, reason }: RolloutProgress) =>
      `${this.context.engine.title}: ${phase}, ${where}, weight ${weight}${reason === '' ? '' : `: ${reason}`}`
    const { deps, engine, events } = this.context
    if (this.progress === undefined || line(this.progress) !== line(progress)) deps.note(line(progress))
    events.next().forEach((message) => deps.note(`${engine.title} says: ${message}`))
    if (this.progress === undefined && this.context.isBegun) this.joinedAt = progress.weight
    this.progress = progress
  }

  /** Recognizes the revision that this run follows, once the engine rolls it out. */
  private notice(live: Live, progress: RolloutProgress): void {
    const { engine, from, deps } = this.context
    const isNew = progress.revision !== from
    const hasBegun = isUnderWay(progress) || engine.observes || progress.phase === 'promoted'
    if (this.revision === undefined && progress.phase !== 'waiting' && !progress.isBefore && isNew && hasBegun) {
      this.revision = progress.revision
      deps.note(`follows the revision ${progress.revision}`)
    }
    if (this.revision === progress.revision) this.selectorsNow = engine.selectors(live)
    if (this.revision !== undefined && progress.phase !== 'waiting') this.waitingSince = undefined
    this.waitingSince ??= this.revision !== undefined && progress.phase === 'waiting' ? deps.clock.now() : undefined
    this.heldSince = isHalted(progress.phase) ? (this.heldSince ?? deps.clock.now()) : undefined
  }

  /** Counts what both versions have served, and judges the canary. Once stable gets the new version too, nothing is compared. */
  private async sample(progress: RolloutProgress): Promise<void> {
    // A controller that does not act leaves the canary its traffic.
    const isRunning = isUnderWay(progress) || (progress.phase === 'waiting' && progress.weight > 0)
    const isJudged = isRunning && progress.phase !== 'promoting' && progress.revision === this.revision
    if (!isJudged || this.current.phase === 'ended') return
    const { plan, deps } = this.context
    if (!this.observer) {
      this.observer = await this.context.observe(this.selectorsNow)
      this.checks.start()
    }
    const { observed } = await this.observer.sample()
    const observation: Observation = { ...observed, findings: this.checks.latest(), gates: {} }
    // A cancel may have ended it meanwhile.
    const before = this.begunAnew(progress)
    if (before.phase === 'ended') return
    const now = deps.clock.now()
    const { state, results, condemned } = judge(plan, before, progress, observation, now)
    // The sample is of the step that the controller is in, not of the one before.
    this.timeline.record(state, results, observation, now)
    this.current = state
    const line = this.samples.lineFor(state, observation, now)
    if (line !== undefined) deps.note(line)
    this.wasSteady = isSteady(plan, state, results, observation, now)
    evidenceLines(plan, state, results).forEach((line) => deps.note(line))
    if (condemned !== undefined) this.condemn(condemned)
  }

  /**
   * Flagger starts its analysis anew for a changed ConfigMap, with the same revision: what was served before is about
   * another version.
   */
  private begunAnew({ weight }: RolloutProgress): State {
    const { state } = this
    const { deps, engine } = this.context
    // The revision of Argo Rollouts says all; between its steps, it may remove a route for a header, and then set a weight.
    const isAnew = !engine.observes && state.phase === 'waiting' && state.steps.length > 0 && weight > 0
    if (!isAnew) return state
    deps.note(`${engine.title} has restarted its analysis, so this run discards its evidence so far`)
    this.timeline = new TimelineRecorder(this.plan)
    return initialState(this.plan, 0, deps.clock.now())
  }

  private condemn(reason: string, rolledBackWith?: string): void {
    if (this.condemned) return
    this.condemned = { reason, at: this.context.deps.clock.now(), rolledBackWith }
    this.diagnose()
    this.context.deps.note(`decision: abort, because ${reason}`)
  }

  /** As soon as the canary has failed: the engine deletes its pods. */
  private diagnose(): void {
    const { cluster, split } = this.context
    if (this.observer) this.diagnosing ??= diagnose(cluster, split.namespace, this.observer.canaries()).catch(() => [])
  }

  private async act(live: Live, progress: RolloutProgress): Promise<void> {
    if (progress.phase === 'failed') this.diagnose()
    const isLeft = progress.phase === 'failed' && progress.weight > 0 && progress.revision === this.revision
    if (isLeft)
      this.condemn(`${this.context.engine.title} has failed the rollout: ${progress.reason || progress.where}`)
    if (await this.resume(live, progress)) return
    const ending = this.endingAt(live, progress)
    if (ending) return this.finish(ending)
    if (this.condemned && this.revision !== undefined) await this.abort(live)
  }

  private async resume(live: Live, progress: RolloutProgress): Promise<boolean> {
    if (this.condemned || this.isResumed || this.current.phase === 'ended') return false
    this.isResumed = await endPause(this.context, live, progress, this.current, this.heldSince)
    return this.isResumed
  }

  private endingAt({ object }: Live, progress: RolloutProgress): Ending | undefined {
    const { engine, plan, deps, noticeMs, looksEveryMs, wroteNothing, title, events } = this.context
    if (this.current.phase === 'ended') return undefined
    const now = deps.clock.now()
    const { condemned } = this
    const { firstTrafficAt } = this.current
    const since = (at: number | undefined) => (at === undefined ? 0 : now - at)
    return endingOf({
      plan,
      title,
      engine: engine.title,
      state: this.current,
      progress,
      revision: this.revision,
      condemned: condemned?.reason,
      detectMs: condemned && firstTrafficAt !== undefined ? condemned.at - firstTrafficAt : undefined,
      heldMs: since(this.heldSince),
      waitingMs: since(this.waitingSince),
      abortingMs: since(condemned?.at),
      noticeMs,
      looksEveryMs,
      wroteNothing,
      delaysAbort: engine.delaysAbort(object),
      joinedAt: this.joinedAt,
      lastWarning: events.lastWarning(),
    })
  }

  /** Repeated until the engine has followed: it may write its status at the same time. */
  private async abort(live: Live): Promise<void> {
    const { cluster, engine, split } = this.context
    const isWritten = await engine.abort(cluster, live, this.revision ?? '', split).catch((error: unknown) => {
      if (!isConflict(error)) throw error
      return false
    })
    this.isAbortWritten ||= isWritten
  }

  /** The run cannot see the rollout any more, which goes on. */
  private blind(problem: string): Ending {
    const { engine } = this.context
    const reason = `${problem}; this run cannot follow the rollout any more, and ${engine.title} goes on by itself`
    return { verdict: 'inconclusive', reason, error: reason }
  }

  private finish({ error, warning, engineVerdict, isOver, ...outcome }: Ending): void {
    if (this.current.phase === 'ended') return
    const { config, deps } = this.context
    const { clock, note, warn } = deps
    if (warning !== undefined) warn(`${canaryKeyOf(config, this.plan.service)}: ${warning}`)
    const last: StepOutcome =
      outcome.verdict === 'promoted'
        ? 'passed'
        : this.condemned && outcome.verdict === 'rolled-back'
          ? 'failed'
          : (outcome.verdict as StepOutcome)
    const weight = this.progress?.weight ?? this.current.weight
    const stopped = { ...endCurrentStep(this.current, last, clock.now()), weight }
    this.current = end(stopped, outcome).state
    this.error = error
    this.isOver = isOver ?? false
    this.engineVerdict = engineVerdict
    note(`decision: ${outcome.verdict}, because ${outcome.reason}`)
  }

  /** Aborts the rollout because of something else than its own canary. The ticks that follow see it through. */
  async rollBack(reason: string, rolledBackWith?: string): Promise<void> {
    if (this.verdict === 'promoted') {
      const late = `${reason}; but ${this.context.engine.title} has promoted it already`
      this.error = late
      return this.context.deps.note(late)
    }
    if (this.current.phase === 'ended')
      return this.verdict === 'held' ? this.rollBackHeld(reason, rolledBackWith) : undefined
    this.condemn(reason, rolledBackWith)
    await this.tick()
  }

  /** This run has ended at an approval, and the canary has its share of the traffic since. */
  private async rollBackHeld(reason: string, rolledBackWith?: string): Promise<void> {
    const { cluster, split, plan, deps, engine } = this.context
    this.condemned = { reason, at: deps.clock.now(), rolledBackWith }
    const options = { timeoutMs: plan.progressDeadline, note: deps.note, clock: deps.clock }
    const done = await abortRollout(cluster, split, this.intent.followed!, options).catch(messageOf)
    if (done === 'aborted') {
      this.current = { ...(this.current as EndedState), weight: 0, verdict: 'rolled-back', reason }
      this.engineVerdict = 'rolled-back'
    } else this.error = `${reason}; but ${engine.title} has not returned its traffic (${done})`
    deps.note(this.error ?? reason)
  }

  /** With `onCancel: hold`, the engine goes on; otherwise the rollout is aborted, and the post step sees it through. */
  async cancel(reason: string): Promise<void> {
    const { engine } = this.context
    if (this.hasEnded()) return
    if (this.plan.onCancel === 'hold')
      return this.finish({ verdict: 'held', reason: `${reason}, and ${engine.title} goes on by itself (\`onCancel\`)` })
    this.condemn(reason)
    for (let i = 0; i < cancelTicks && !this.hasEnded(); i++) {
      await this.tick()
      if (!this.hasEnded()) await this.context.deps.clock.sleep(cancelPauseMs)
    }
    const open = `${reason}; ${this.describeUnaborted()}`
    this.finish({ verdict: 'inconclusive', reason: open, error: open })
  }

  private describeUnaborted(): string {
    const { title } = this.context.engine
    if (this.progress?.phase === 'promoting')
      return `${title} gives the version of the canary to stable already, so the rollout cannot be aborted`
    return this.isAbortWritten
      ? `${title} was told to abort the rollout, and has not returned the traffic yet`
      : `${title} has not begun with the rollout, so there was nothing to abort yet`
  }

  async conclude({ fast }: { fast: boolean }): Promise<Promotion> {
    this.checks.stop()
    const { deps, events } = this.context
    for (let i = 0; i < cancelTicks && !this.hasEnded(); i++) {
      await deps.clock.sleep(cancelPauseMs)
      await this.tick()
    }
    if (!this.hasEnded()) this.finish(this.blind(this.condemned?.reason ?? 'the run has ended'))
    events.close()
    const promotion = this.promotion(this.current as EndedState)
    const concluded = fast ? promotion : await this.confirm(promotion)
    deps.note(`${concluded.verdict}: ${concluded.reason}`)
    return concluded
  }

  private promotion(state: EndedState): Promotion {
    const { rolledBackWith } = this.condemned ?? {}
    return {
      ...state,
      plan: this.plan,
      namespace: this.split.namespace,
      timeline: this.timeline.samples,
      ...(this.error === undefined ? {} : { error: this.error }),
      ...(this.engineVerdict === undefined ? {} : { engineVerdict: this.engineVerdict }),
      ...(rolledBackWith === undefined ? {} : { rolledBackWith }),
    }
  }

  /** Sees that a canary that was rolled back serves nothing, and adds why it failed. */
  private async confirm(ended: Promotion): Promise<Promotion> {
    const diagnosis = ended.verdict === 'promoted' ? [] : ((await this.diagnosing) ?? [])
    const explained = { ...ended, ...(diagnosis.length > 0 ? { diagnosis } : {}) }
    if (!this.needsDrainCheck || !this.observer) return explained
    const confirmed = await confirmDrained(this.context, this.observer, this.selectorsNow, explained)
    this.isDrainChecked = !this.context.deps.signal.aborted
    return confirmed
  }
}

/** 3 s in all: the runner kills a cancelled run after about 10 s, and the report needs the rest. */
const cancelTicks = 6
const cancelPauseMs = 500
