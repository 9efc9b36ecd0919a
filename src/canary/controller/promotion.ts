// One canary on its way: each tick looks at the evidence, asks the state machine what follows, and carries it out.
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import { keyOf, type Pod, type Workload } from '../../cluster/objects.ts'
import type { ObjectWatch } from '../../cluster/watch.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import { hostOf } from '../../policies/compile/index.ts'
import { isReady } from '../../mesh/sidecar.ts'
import { messageOf } from '../../runtime/errors.ts'
import { causeOf } from '../../verify/cause.ts'
import { adopt } from './adopt.ts'
import { monotonicNow } from '../../runtime/clock.ts'
import { diagnose, type Diagnosis } from './diagnosis.ts'
import { findDrift } from '../traffic/drift.ts'
import { createExternalChecks, type PromotionStatus } from '../hooks/external-checks.ts'
import { createGates } from '../hooks/gates.ts'
import { createObserver, type Sample } from '../metrics/observer.ts'
import { createWebhooks } from '../hooks/webhooks.ts'
import { syntheticLoad, type Forward } from '../load/synthetic.ts'
import { selectorsOf } from '../workload/selectors.ts'
import { openSession, type LeaseSession, type SessionDeps } from '../ownership/session.ts'
import { LeaseLost } from '../ownership/lease.ts'
import { recordRevision, checkRevision } from '../workload/revision-check.ts'
import {
  dueGates,
  explainChecks,
  endHeld,
  next,
  endOnStable,
  isHeldAsPlanned,
  outcomeOf,
  resumeState,
  initialState,
  type EndedState,
  type Next,
  type Observation,
  type State,
} from '../state/machine.ts'
import { type DrainResult, type DrainTarget, waitForDrain, explainServing } from './drain.ts'
import { templateHash, workloadsOf } from '../workload/fingerprint.ts'
import { describeAction, describeSample, describeEvidence } from './log-format.ts'
import { removeManagedRoutes, readWeight, type Routed, type Split } from '../traffic/router.ts'
import { isTransient, createWriter } from './writer.ts'

/** `forward` opens a connection to a port of a pod. */
export type PromotionDeps = SessionDeps & { forward: Forward }

/** The pods, workloads and routes of the namespace as they are at any moment. */
export type WatchedObjects = {
  pods: ObjectWatch<Pod>[]
  workloads: ObjectWatch<Workload>[]
  routes: ObjectWatch<Routed>[]
}

/** `along`: the service whose failure put it back as well. */
export type Promotion = EndedState & {
  plan: CanaryConfig
  namespace: string
  error?: string
  rolledBackWith?: string
  secondsToSafe?: number
  diagnosis?: Diagnosis[]
  adopted?: boolean
}

/** A canary under way. Nothing of it rejects: what goes wrong ends it with its traffic put back. */
export type PromotionRun = {
  plan: CanaryConfig
  split: Split
  /** The name under which it holds its Lease. */
  identity: string
  /** Where the canary's requests are counted. */
  drainTarget: DrainTarget
  state: () => State
  /** It has not ended, or not all that it decided is written yet. */
  busy: () => boolean
  tick: () => Promise<void>
  /** Says that the run lives, while there is nothing to look at. */
  heartbeat: () => Promise<void>
  /** Puts its traffic back for a reason from outside; `along`: because that service's canary failed. */
  stop: (reason: string, along?: string) => Promise<void>
  /** What the plan says of a cancelled run: put back, or held for a later one. */
  cancel: (reason: string) => Promise<void>
  /** False when its traffic was to be put back and could not be. */
  safe: () => boolean
  /** Its traffic was put back, and nobody has seen yet whether the proxies follow. */
  needsDrainCheck: () => boolean
  /** Waits until what was decided is seen to be so, and says what came of it. `hurry`: only what must be. */
  finish: (hurry: boolean) => Promise<Promotion>
}

export function splitOf({ namespace }: Config, { service, stable, canary, routes }: CanaryConfig): Split {
  return { namespace, service, stable, canary, ...(routes ? { routes } : {}) }
}

const all = <T>(lives: ObjectWatch<T>[]) => lives.flatMap((live) => live.current())

/** @throws Error when another run has it, when there can be no guard, or when the counters cannot be read at all. */
export async function startPromotion(
  cluster: Cluster,
  config: Config,
  plan: CanaryConfig,
  watched: WatchedObjects,
  around: PromotionDeps,
): Promise<PromotionRun> {
  const { namespace } = config
  const split = splitOf(config, plan)
  const groups = await selectorsOf(cluster, config, plan)
  const note = (line: string) => around.note(config.canary ? line : `${plan.service}: ${line}`)
  const own = workloadsOf(all(watched.workloads), groups.canary)
  const pods = all(watched.pods).filter(
    ({ metadata }) => metadata.namespace === namespace && matches(groups.canary, metadata.labels),
  )
  // What a run that died left of a mirror or an A/B stage would go on for ever.
  const holding = await openSession(cluster, split, plan, templateHash(own, pods), { ...around, note })
  try {
    await removeManagedRoutes(cluster, split)
    const observer = await createObserver(
      cluster,
      watched.pods,
      { namespace, host: hostOf(plan.service, namespace), ...groups, plan },
      note,
    )
    const weight = await readWeight(cluster, split)
    if (holding.resumedFrom)
      note(
        `goes on from an earlier run: ${holding.resumedFrom.canary.requests} requests of the canary seen, ${holding.resumedFrom.steps.length} steps`,
      )
    const state = holding.resumedFrom
      ? resumeState(holding.resumedFrom, weight, monotonicNow())
      : initialState(plan, weight, monotonicNow(), observer.baseline)
    return await moving(
      {
        cluster,
        config,
        plan,
        split,
        groups,
        watched,
        around,
        note,
        holding,
        observer,
        life: recordRevision(all(watched.workloads), observer.canaries(), groups.canary),
      },
      state,
    )
  } catch (problem) {
    await (holding.resumedFrom ? holding.release(holding.resumedFrom) : holding.end()).catch(() => undefined)
    throw problem
  }
}

type Begun = {
  cluster: Cluster
  config: Config
  plan: CanaryConfig
  split: Split
  groups: Awaited<ReturnType<typeof selectorsOf>>
  watched: WatchedObjects
  around: PromotionDeps
  note: (line: string) => void
  holding: LeaseSession
  observer: Awaited<ReturnType<typeof createObserver>>
  life: ReturnType<typeof recordRevision>
}

async function moving(
  { cluster, config, plan, split, groups, watched, around, note, holding, observer, life }: Begun,
  from: State,
): Promise<PromotionRun> {
  const { namespace } = config
  let state = from
  /** What a later run may go on from: this promotion before it was ended from outside. */
  let resumable: State | undefined
  let error: string | undefined
  let wentAlong: string | undefined
  let lost = false
  let safe = true
  let isSeen = false
  let last: Sample | undefined

  const outside = (): PromotionStatus => ({
    namespace,
    service: plan.service,
    stable: plan.stable.name,
    canary: plan.canary.name,
    weight: state.weight,
    step: state.steps.length,
    phase: phaseOf(state),
    intervalMs: plan.interval,
  })
  const asked = createExternalChecks(cluster, plan, outside)
  const hook = createWebhooks(plan, outside, note)
  const gate = createGates(hook.ask)
  const told: Promise<void>[] = []
  const tell = (...news: Parameters<typeof hook.tell>) => void told.push(hook.tell(...news))
  const synthetic = plan.load && (await syntheticLoad(cluster, config, plan, watched.pods, around.forward))
  const writer = createWriter(cluster, split, plan, holding, () => state, note)
  const known = holding.savedRoutes.map(keyOf)

  async function take({ state: after, actions }: Next): Promise<void> {
    const before = state.phase
    state = after
    if (before === 'waiting' && state.phase !== 'waiting') asked.start()
    if (state.phase === 'ended') note(`${state.verdict}: ${state.reason}`)
    if (actions.length > 0 || state.phase === 'ended')
      tell(
        'event',
        actions.map((action) => describeAction(plan, action)).join('; ') || (outcomeOf(state)?.reason ?? ''),
      )
    await writer.write(actions)
  }

  async function tick(): Promise<void> {
    try {
      if (!(await writer.settled())) return
      if (state.phase === 'ended') return await heartbeat()
      const alive = await renewed()
      last = await observer.sample()
      const observation = seen(last, alive)
      if (isOver()) return
      note(describeSample(state, observation))
      synthetic?.aim(state, observation)
      const step = next(plan, state, observation, monotonicNow())
      if (plan.explain && step.state.phase !== 'waiting')
        explainChecks(plan, step.state).forEach((each) => note(describeEvidence(each)))
      const after = await explained(step.state)
      // It may have been stopped from outside while this was looked up.
      if (isOver()) return
      await take({ ...step, state: after })
    } catch (problem) {
      if (problem instanceof LeaseLost) return lose(problem)
      if (isOver()) return giveUp(error ?? outcomeOf(state)?.reason ?? '', problem)
      await stop(`the promotion could not go on: ${messageOf(problem)}`)
      error ??= outcomeOf(state)?.reason
    }
  }

  /** What is not written by now is left to the post step, and to the guard, which goes on for as long as it takes. */
  function giveUp(reason: string, problem: unknown): void {
    safe = false
    writer.drop()
    error = `${reason}; and the traffic could not be put back: ${messageOf(problem)}`
    note(error)
  }

  const isOver = () => state.phase === 'ended'

  /** False while the API server cannot be asked: then nothing can be said of the canary either. */
  async function renewed(): Promise<boolean> {
    try {
      await holding.renew(state)
      return true
    } catch (problem) {
      if (problem instanceof LeaseLost || !isTransient(problem)) throw problem
      note(`the Lease could not be renewed: ${messageOf(problem)}`)
      return false
    }
  }

  async function heartbeat(): Promise<void> {
    await holding.renew(state).catch((problem: unknown) => {
      if (problem instanceof LeaseLost) lose(problem)
    })
  }

  function lose(problem: LeaseLost): void {
    lost = true
    const reason = `the promotion was taken from this run: ${problem.message}`
    // Whoever took it has the say: nothing is written any more.
    writer.drop()
    if (isOver()) return
    state = endOnStable(state, 'rolled-back', reason, monotonicNow()).state
    error = reason
    note(reason)
  }

  function seen({ evidence, health }: Sample, alive: boolean): Observation {
    const strayed =
      state.phase !== 'waiting' && watched.routes.every((live) => live.fresh())
        ? findDrift(
            all(watched.routes),
            known,
            split,
            plan,
            { weight: state.weight, ...askedOf(state) },
            writer.written(),
          )
        : undefined
    const was = checkRevision(
      life,
      all(watched.workloads),
      observer.canaries(),
      groups.canary,
      state.phase !== 'waiting' && (state.weight > 0 || state.steps.at(-1)?.kind === 'ab'),
    )
    life = was.revision
    const fault = health.fault?.text ?? was.fault
    return {
      ...evidence,
      complete: evidence.complete && alive,
      ...(fault === undefined ? {} : { fault }),
      ...(strayed === undefined ? {} : { drift: strayed }),
      ...(holding.isGuarded() ? {} : { unguarded: true }),
      findings: asked.latest(),
      gates: gate.answers(dueGates(plan, state)),
    }
  }

  /** What is wrong with a pod, or with one that is not ready, gets the cause that its events and its log tell. */
  async function explained(after: State): Promise<State> {
    if (after.phase !== 'ended' || after.verdict === 'promoted' || isHeldAsPlanned(after) || !last) return after
    const because = (cause: string | undefined) =>
      cause === undefined ? after : { ...after, reason: `${after.reason}: ${cause}` }
    if (!holding.isGuarded() && from.steps.length === after.steps.length)
      return because(await holding.explainMissingGuard().catch(() => undefined))
    if (last.health.ready) return after
    const broken = last.health.fault?.pod ?? observer.canaries().find((pod) => !isReady(pod))
    return because(
      broken
        ? await causeOf(cluster, broken).catch(() => undefined)
        : 'no pod of it runs; see whether its Deployment is scaled to 0',
    )
  }

  async function stop(reason: string, along?: string): Promise<void> {
    wentAlong = along
    await endWith(reason, () => endOnStable(state, 'rolled-back', reason, monotonicNow()))
  }

  async function cancel(reason: string): Promise<void> {
    resumable = state
    await endWith(reason, () =>
      plan.onCancel === 'hold'
        ? endHeld(state, `${reason}, and its weight is held (\`onCancel\`)`, monotonicNow())
        : endOnStable(state, 'rolled-back', reason, monotonicNow()),
    )
  }

  async function endWith(reason: string, how: () => Next): Promise<void> {
    if (lost) return
    try {
      writer.drop()
      await take(how())
    } catch (problem) {
      if (problem instanceof LeaseLost) lose(problem)
      else giveUp(reason, problem)
    }
  }

  async function finish(hurry: boolean): Promise<Promotion> {
    asked.stop()
    synthetic?.stop()
    if (!writer.idle()) safe = false
    if (state.phase !== 'ended') throw new Error(`${plan.service}: the promotion has not ended`)
    const ended: Promotion = {
      ...state,
      plan,
      namespace,
      ...(error === undefined ? {} : { error }),
      ...(wentAlong === undefined ? {} : { rolledBackWith: wentAlong }),
    }
    if (hurry) {
      await settleLease()
      return ended
    }
    tell('post-rollout', ended.reason)
    const failed = ended.verdict === 'rolled-back' || (ended.verdict === 'held' && !ended.asPlanned)
    // Promoted, the traffic stays where it is, whatever becomes of this run.
    if (ended.verdict === 'promoted') await holding.deleteGuard().catch(() => undefined)
    const { secondsToSafe, still } = isBack() ? await quiet() : {}
    isSeen = !around.signal.aborted
    const came: Promotion = {
      ...(still ? but(ended, await explainServing(cluster, split, still)) : ended),
      ...(secondsToSafe === undefined ? {} : { secondsToSafe }),
      // After that: a container that ended under its requests is known by now to have ended.
      ...(failed ? { diagnosis: await diagnose(cluster, namespace, observer.canaries()) } : {}),
      ...(ended.verdict === 'promoted' && plan.after === 'adopt' ? await adopted() : {}),
    }
    await settleLease()
    // The program ends after this, and with it what is still on its way.
    await Promise.all(told)
    return came
  }

  /** The canary had traffic, and none is written for it now. */
  const isBack = () =>
    state.phase === 'ended' && state.weight === 0 && safe && (state.steps.length > 0 || state.startWeight > 0)

  function quiet(): Promise<DrainResult> {
    const glance = async () => {
      // Whoever takes the promotion over may give the canary traffic again.
      await heartbeat()
      const { evidence } = await observer.sample()
      return evidence.complete ? evidence.canary.requests : undefined
    }
    return waitForDrain(glance, {
      timeoutMs: plan.progressDeadline,
      perSecond: perSecond(state),
      over: () => lost || around.signal.aborted,
      note,
    })
  }

  /** Kept for a later run is what was cut short or is to stop for now; what was decided is over. While traffic is not safe, the guard is left its duty. */
  async function settleLease(): Promise<void> {
    if (lost || !safe) return
    const kept = resumable ?? (isHeldAsPlanned(state) ? state : undefined)
    await (kept ? holding.release(kept) : holding.end()).catch((problem: unknown) =>
      note(`the Lease could not be given up: ${messageOf(problem)}`),
    )
  }

  async function adopted(): Promise<Partial<Promotion>> {
    try {
      await adopt(cluster, split, groups, {
        note,
        signal: around.signal,
        timeoutMs: plan.progressDeadline,
        quiet: async () => (await quiet()).secondsToSafe !== undefined,
      })
      return { adopted: true, weight: 0 }
    } catch (problem) {
      return { adopted: false, error: messageOf(problem) }
    }
  }

  const drainTarget = { labels: groups.canary, metrics: plan.metrics, timeoutMs: plan.progressDeadline }
  return {
    plan,
    split,
    identity: holding.identity,
    drainTarget,
    state: () => state,
    busy: () => !isOver() || !writer.idle(),
    safe: () => safe && writer.idle(),
    needsDrainCheck: () => isBack() && !isSeen && !lost,
    tick,
    heartbeat,
    stop,
    cancel,
    finish,
  }
}

function phaseOf(state: State): PromotionStatus['phase'] {
  if (state.phase === 'waiting') return 'Waiting'
  if (state.phase !== 'ended') return state.phase === 'confirming' ? 'WaitingPromotion' : 'Progressing'
  return state.verdict === 'promoted' || state.verdict === 'held' ? 'Succeeded' : 'Failed'
}

/** What the current stage asks of the routes beside a weight. */
function askedOf({ phase, steps }: State) {
  const step = phase === 'waiting' ? undefined : steps.at(-1)
  return step ? { kind: step.kind, ...(step.kind === 'mirror' ? { percent: step.weight } : {}) } : {}
}

/** What the canary served in a second of its last step. */
function perSecond({ steps }: State): number {
  const step = steps.at(-1)
  if (!step) return 0
  const { canary, shiftedAt } = step
  const endedAt = 'endedAt' in step ? step.endedAt : monotonicNow()
  return endedAt > shiftedAt ? (1_000 * canary.requests) / (endedAt - shiftedAt) : 0
}

/** Not as safe as its weight says. */
function but(ended: Promotion, problem: string): Promotion {
  const reason = `${ended.reason}; but ${problem}`
  return { ...ended, reason, error: ended.error === undefined ? reason : `${ended.error}; but ${problem}` }
}
