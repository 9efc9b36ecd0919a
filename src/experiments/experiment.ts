// Runs one experiment: polls the sidecars, lets the state machine decide, and carries its actions out. Whatever happens,
// it removes the fault, or leaves that to the guard by no longer renewing the Lease.
import { noRequests } from '../canary/analysis/request-counts.ts'
import { LeaseLost } from '../canary/ownership/lease.ts'
import { ApiError } from '../cluster/api-error.ts'
import { urgent, type Cluster } from '../cluster/client.ts'
import type { Forward } from '../cluster/forward.ts'
import { owns } from '../cluster/labels.ts'
import type { Pod, Workload } from '../cluster/objects.ts'
import { watch, type ObjectWatch } from '../cluster/watch.ts'
import type { ExperimentConfig } from '../config/schema.ts'
import { messageOf } from '../runtime/errors.ts'
import { persist } from '../runtime/retry.ts'
import { unlessAborted } from '../runtime/timeout.ts'
import { affectedServices, type AffectedServices } from './faults/affected-services.ts'
import type { FaultObject } from './faults/fault-object.ts'
import { callingNamespaces, objectsOf, planFault, targetWorkload } from './faults/fault-plan.ts'
import { FaultInjector } from './faults/injector.ts'
import { experimentLoad, type ExperimentLoad, type Exposure } from './load.ts'
import { createSampler, type Sampler } from './metrics/sampler.ts'
import { claimNames } from './own-leases.ts'
import { injectionFaults } from './safety.ts'
import { openSession, type ExperimentSession, type SessionDeps } from './session.ts'
import { noSigns } from './state/coverage.ts'
import { endedEarly } from './state/ended-early.ts'
import { abort, isAboutToEnd, isInjected, next, start } from './state/machine.ts'
import { noMeshCounts } from './state/mesh-counts.ts'
import type { EndedState, Observation, State, Step } from './state/types.ts'

/**
 * What the post step needs to remove the fault of a run that died. `services`: under the names of the Leases that the run
 * holds. `unseen`: why the sidecars may still apply it, although its objects are restored. Plain data.
 */
export type FaultIntent = {
  experiment: string
  namespace: string
  services: AffectedServices
  identity: string
  objects: FaultObject[]
  unseen?: string
}

/** `intent`: the fault that may be in the cluster from now on; undefined when it is removed. */
export type ExperimentDeps = SessionDeps & { intent: (intent: FaultIntent | undefined) => void; forward: Forward }

export type EndedExperiment = { name: string; experiment: ExperimentConfig; state: EndedState }

/** `exposure`: for `load`. @throws Error if the experiment cannot start; then nothing was injected. */
export async function runExperiment(
  rateLimited: Cluster,
  namespace: string,
  name: string,
  experiment: ExperimentConfig,
  deps: ExperimentDeps,
  exposure?: Exposure,
): Promise<EndedExperiment> {
  const cluster = urgent(rateLimited)
  const services = await affectedServices(cluster, namespace, experiment)
  const claims = claimNames(services, experiment)
  const objectName = `mesh-canary-experiment-${services.target}`
  const planned = objectsOf(await planFault(cluster, namespace, objectName, experiment))
  const watches = await watchPods(cluster, [namespace, ...callingNamespaces(experiment, namespace)])
  try {
    const session = await openSession(cluster, { namespace, name, experiment, services: claims }, planned, deps)
    const run = new ExperimentRun(cluster, {
      namespace,
      name,
      experiment,
      services,
      claims,
      objectName,
      planned,
      watches,
      session,
      deps,
      exposure,
    })
    return { name, experiment, state: await run.toItsEnd() }
  } finally {
    watches.forEach((each) => each.close())
  }
}

async function watchPods(cluster: Cluster, namespaces: string[]): Promise<ObjectWatch<Pod>[]> {
  return Promise.all(namespaces.map((each) => watch<Pod>(cluster, 'Pod', each)))
}

type RunSettings = {
  namespace: string
  name: string
  experiment: ExperimentConfig
  services: AffectedServices
  /** The services under the names of their Leases. */
  claims: AffectedServices
  objectName: string
  planned: FaultObject[]
  watches: ObjectWatch<Pod>[]
  session: ExperimentSession
  deps: ExperimentDeps
  exposure: Exposure | undefined
}

const cancelled = 'the run was cancelled'

class ExperimentRun {
  private state: State
  private readonly cluster: Cluster
  private readonly settings: RunSettings
  private workload: Workload | undefined
  private injector!: FaultInjector
  private sampler!: Sampler
  private load: ExperimentLoad | undefined
  private isLeaseLost = false
  /** The latest write of the fault. It must not follow the removal. */
  private writing: Promise<void> | undefined
  /** From now on, no poll that still runs may decide anything. */
  private ending: Promise<void> | undefined

  constructor(cluster: Cluster, settings: RunSettings) {
    this.cluster = cluster
    this.settings = settings
    this.state = start(settings.experiment, settings.deps.clock.now())
  }

  async toItsEnd(): Promise<EndedState> {
    const { deps, experiment } = this.settings
    try {
      await this.prepare()
    } catch (problem) {
      await this.settings.session.end()
      throw problem
    }
    const { clock, signal } = deps
    while (this.state.phase !== 'ended') {
      await clock.sleep(experiment.pollInterval, signal).catch(() => undefined)
      if (!signal.aborted) await this.withHeartbeat(this.tickUntilAborted())
      if (signal.aborted) await this.endEarly(cancelled)
    }
    const ended = await this.withCause(this.state)
    await this.close(ended)
    return ended
  }

  /** Why the guard did not start, if that ended the experiment. */
  private async withCause(ended: EndedState): Promise<EndedState> {
    if (ended.timeline.at(-2)?.phase !== 'waiting' || this.settings.deps.signal.aborted || this.isLeaseLost)
      return ended
    const cause = await this.attempt('the guard', () => this.settings.session.explainMissingGuard())
    const { outcome } = ended
    return cause === undefined ? ended : { ...ended, outcome: { ...outcome, reason: `${outcome.reason}: ${cause}` } }
  }

  /** A cancelled run does not wait for a sample. */
  private async tickUntilAborted(): Promise<void> {
    const { signal } = this.settings.deps
    await unlessAborted(this.tick(), signal).catch((problem: unknown) => {
      if (!signal.aborted) throw problem
    })
  }

  /** Renews the Leases while a slow API server makes a poll last. The next poll finds out if one is lost. */
  private async withHeartbeat(work: Promise<void>): Promise<void> {
    const timer = setInterval(() => void this.settings.session.renew().catch(() => undefined), heartbeatMs)
    await work.finally(() => clearInterval(timer))
  }

  private async prepare(): Promise<void> {
    const { namespace, name, experiment, services, objectName, planned, watches, session, deps, exposure } =
      this.settings
    const of = targetWorkload(experiment)
    this.workload = of && (await this.cluster.get<Workload>(of.kind, namespace, of.name))
    const pods = () =>
      watches
        .flatMap((each) => each.current())
        .filter((pod) => pod.metadata.namespace === namespace && (!this.workload || owns(this.workload, pod)))
    this.injector = new FaultInjector(this.cluster, {
      namespace,
      name,
      experiment,
      objectName,
      session,
      planned,
      intend: (objects) => this.intend(objects),
      pods,
      note: deps.note,
    })
    const all = [services.target, ...services.others]
    const sampled = { namespace, experiment, services: all, workload: this.workload }
    this.sampler = await createSampler(this.cluster, watches, sampled, deps.note)
    const current = () => watches.flatMap((each) => each.current())
    const { forward, clock } = deps
    this.load = exposure && (await experimentLoad(this.cluster, experiment, exposure, current, forward, clock))
  }

  private intend(objects: FaultObject[], unseen?: string): void {
    const { namespace, name, claims, session, deps } = this.settings
    const intent = { experiment: name, namespace, services: claims, identity: session.identity, objects }
    deps.intent({ ...intent, ...(unseen === undefined ? {} : { unseen }) })
  }

  private async tick(): Promise<void> {
    const { experiment, session, deps } = this.settings
    try {
      await session.renew()
    } catch (problem) {
      if (problem instanceof LeaseLost) return this.leaseLost(problem)
      deps.note(`the Lease could not be renewed: ${messageOf(problem)}`)
    }
    await this.attempt('the guard', () => session.checkGuard())
    const seen = await this.observe()
    await this.perform(next(experiment, this.state, seen, deps.clock.now()))
  }

  /** A sample that fails shows nothing, and the time goes on. */
  private async observe(): Promise<Observation> {
    const isLast = isAboutToEnd(this.settings.experiment, this.state, this.settings.deps.clock.now())
    const sample = await this.attempt('the sidecars', () => this.sampler.sample(isLast))
    const disturbed = await this.attempt('the objects of the fault', () => this.injector.findDisturbances())
    const affected = (await this.attempt('the fault', () => this.injector.takeAffected())) ?? 0
    if (sample) this.load?.aim(sample.users.requests)
    const signs = sample?.signs ?? noSigns
    const nothing = { users: noRequests, mesh: noMeshCounts }
    const { users, mesh, late } = sample ?? { ...nothing, late: nothing }
    return {
      users,
      mesh,
      late,
      signs: { calls: signs.calls + affected, faulted: signs.faulted + affected },
      isGuarded: this.settings.session.isGuarded(),
      wasSent: this.injector.wasSent(),
      isWritten: this.injector.isWritten(),
      isRemoved: this.injector.isRemoved(),
      disturbed: disturbed ?? [],
      podsNotReady: sample?.podsNotReady,
      callersNotRead: sample?.callersNotRead ?? 0,
      isBlind: sample?.isBlind ?? true,
    }
  }

  private async perform({ state, actions }: Step): Promise<void> {
    if (this.ending) return
    const { experiment } = this.settings
    this.enter(state)
    // Some evictions are refused, or due later.
    const isActing = state.phase === 'injecting' || state.phase === 'observing'
    const isEvicting = experiment.inject.podKill !== undefined && this.injector.isWritten() && isActing
    if (actions.includes('inject') || isEvicting) {
      this.writing = this.inject()
      await this.writing.catch((problem: unknown) => this.injectionFailed(problem))
    }
    if (actions.includes('recover')) await this.attempt('the fault', () => this.injector.restore())
  }

  /** @throws Error if the pods have changed so that the fault would affect too many of them. */
  private async inject(): Promise<void> {
    const { namespace, experiment, deps } = this.settings
    if (this.injector.isRemoved()) {
      const faults = await injectionFaults(this.cluster, namespace, experiment)
      if (faults.length > 0) throw new Error(faults.join('; '))
      await this.requireLeases()
      if (this.ending) return
    }
    await this.injector.inject(deps.clock.now())
  }

  /** @throws Error if routes or pods of other services have appeared, which a promotion may be changing now. */
  private async requireLeases(): Promise<void> {
    const { namespace, experiment, services } = this.settings
    const { others } = await affectedServices(this.cluster, namespace, experiment)
    const isNew = (service: string) => !services.others.includes(service)
    const added = others.filter(isNew)
    if (added.length === 0) return
    throw new Error(
      `the fault would now also affect ${added.join(', ')}, whose Lease this run does not hold; run the experiment again`,
    )
  }

  private enter(state: State): void {
    const before = this.state.phase
    this.state = state
    if (state.phase !== before) this.settings.deps.note(`${this.settings.name}: ${this.describePhase()}`)
  }

  private async injectionFailed(problem: unknown): Promise<void> {
    if (problem instanceof LeaseLost) return this.leaseLost(problem)
    if (isTransient(problem)) return this.settings.deps.note(`the fault could not be written: ${messageOf(problem)}`)
    await this.abort(`the fault could not be written: ${messageOf(problem)}`)
  }

  /** Another run, or the guard, has taken over. Nobody but this run knows for sure what it has written. */
  private async leaseLost({ message }: LeaseLost): Promise<void> {
    this.isLeaseLost = true
    this.settings.deps.note(`${this.settings.name}: this run lost its Lease: ${message}`)
    await this.endEarly(`this run lost its Lease: ${message}`)
  }

  private async abort(reason: string): Promise<void> {
    const { state, actions } = abort(this.state, reason, this.settings.deps.clock.now())
    await this.perform({ state, actions })
  }

  /** Restores the objects, and does not wait for the counters to show it. Only the first reason counts. */
  private endEarly(reason: string): Promise<void> {
    this.ending ??= this.restoreAndEnd(reason)
    return this.ending
  }

  private async restoreAndEnd(reason: string): Promise<void> {
    await this.writing?.catch(() => undefined)
    const before = this.state
    if (before.phase === 'ended') return
    const failure = isInjected(before) ? await this.restore() : undefined
    this.enter(endedEarly(before, reason, failure, this.settings.deps.clock.now()))
  }

  /** Returns why it failed, if it did. */
  private restore(): Promise<string | undefined> {
    const limits = { limitMs: restoreLimitMs, intervalMs: 500, isTransient: () => true }
    const restore = async () => {
      await this.injector.restore()
      if (!this.injector.isRemoved()) throw new Error('Chaos Mesh has not ended it yet')
    }
    return persist(restore, { ...limits, clock: this.settings.deps.clock }).then(
      () => undefined,
      (problem: unknown) => messageOf(problem),
    )
  }

  /** Without the fault, nothing is left to guard. Else the Lease stays, unrenewed, and the guard restores the objects. */
  private async close({ recovery }: EndedState): Promise<void> {
    const { session, deps } = this.settings
    this.load?.stop()
    if (recovery.kind === 'unconfirmed' && !recovery.isRemoved) {
      if (this.injector.isRemoved()) this.intend([], recovery.problem)
      return
    }
    await session.end().catch((problem: unknown) => deps.note(`the Lease could not be deleted: ${messageOf(problem)}`))
    deps.intent(undefined)
  }

  private async attempt<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (problem) {
      this.settings.deps.note(`${what}: ${messageOf(problem)}`)
      return undefined
    }
  }

  private describePhase(): string {
    const { state } = this
    if (state.phase === 'ended') return `${state.outcome.verdict}: ${state.outcome.reason}`
    return {
      waiting: 'waiting for the guard',
      steady: `watching the steady state of ${this.settings.experiment.service}`,
      injecting: 'injecting the fault',
      observing: 'the fault acts; observing',
      recovering: 'removing the fault',
    }[state.phase]
  }
}

const heartbeatMs = 2_000
/** A cancelled run has a few seconds. */
const restoreLimitMs = 5_000

/** The server does not answer, is busy, or somebody else was faster. */
function isTransient(problem: unknown): boolean {
  return problem instanceof ApiError && (problem.status === 0 || problem.status >= 409)
}
