// Runs the promotions of a run, wave by wave, in one loop. Every promotion ends at a safe weight, whatever happens.
import { urgent, type Cluster } from '../cluster/client.ts'
import { allCanariesOf } from '../config/names.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import { messageOf } from '../runtime/errors.ts'
import { currentObjects, type Promotion, type PromotionDeps, type WatchedObjects } from './controller/context.ts'
import { whySkipped } from './controller/skip.ts'
import { startPromotion } from './controller/start.ts'
import { closeWatches, watchObjects } from './controller/watch.ts'
import { sharedSidecarReaders } from './metrics/shared-reader.ts'
import { calmInterval } from './state/calm.ts'
import type { HandOver } from './state/hand-over.ts'
import { skippedState } from './state/start.ts'
import { splitOf } from '../policies/routes.ts'
import { workloadsOf } from './workload/fingerprint.ts'
import { readAnyWeight, readWeight } from './traffic/router.ts'
import {
  firstFailed,
  hasFailed,
  isHeld,
  isPromoted,
  whatFailed,
  type Idle,
  type PromotionProgress,
  type RecoveryIntent,
  type Run,
} from './run.ts'

export type { FollowedRollout, Idle, PromotionProgress, RecoveryIntent, Run } from './run.ts'

type SharedReaders = Required<Pick<PromotionDeps, 'readSidecars'>>

/**
 * How the promotions of a cluster have ended. `putsBack`: those of the other clusters have to be undone. `handedOver`: the
 * next run continues them, so those of the others are not over either.
 */
export type ClusterOutcome = { failure?: string; putsBack?: boolean; handedOver?: boolean }

/** The promotions of the same run in the other clusters of a fleet. */
export type OtherClusters = {
  /** What has failed there, so that the promotions here have to be undone; undefined while nothing has. */
  failure: () => { cluster: string; reason: string } | undefined
  /** Says how the promotions here have ended; resolves when those of all clusters have, or one has failed. */
  settle: (outcome: ClusterOutcome) => Promise<void>
  /** No cluster puts another one back any more: each finishes by itself, whatever happens elsewhere. */
  isFinal: () => boolean
}

/**
 * `onProgress`: called after each poll, and at the end.
 * `intent` records what to roll back if this process dies. `whyIdle`: why there is nothing to promote for a service,
 * if the caller knows. `stopped`: why nothing may begin, because the run has failed before; what an earlier run has left
 * under way then goes back to stable. `runsUntil`: when the promotions under way are handed over to the next run, by
 * `clock`, and when at the latest.
 */
export type PromoteDeps = PromotionDeps & {
  intent: (intents: RecoveryIntent[]) => void
  onProgress: (promotions: PromotionProgress[]) => void
  whyIdle?: (service: string) => string | undefined
  others?: OtherClusters
  stopped?: string
  runsUntil?: (Omit<HandOver, 'isLast'> & { at: number; latestAt: number }) | undefined
  /** Starts to follow the rollout of a controller. */
  follow: (plan: CanaryConfig, watched: WatchedObjects, shared: SharedReaders) => Promise<Run | Idle>
}

const cancelled = 'the run was cancelled'

/** What all waves share. */
type Waves = {
  cluster: Cluster
  config: Config
  deps: PromoteDeps & SharedReaders
  watched: WatchedObjects
  runs: Run[]
  skipped: Promotion[]
  /** The time of the run was over before all could start. */
  isOver: boolean
}

/** @throws Error if a promotion cannot start; those under way are then rolled back, or held as `onCancel` says. */
export async function promote(paced: Cluster, config: Config, given: PromoteDeps): Promise<Promotion[]> {
  const cluster = urgent(paced)
  const deps = { ...given, readSidecars: sharedSidecarReaders(cluster, longestReadingMs(config)) }
  const watched = await watchObjects(cluster, config)
  const waves: Waves = { cluster, config, deps, watched, runs: [], skipped: [], isOver: false }
  const { runs, skipped } = waves
  try {
    for (const plans of wavesOf(config)) {
      await startWave(waves, plans)
      await runLoop(waves)
    }
    await awaitOthers(waves)
    const fast = deps.signal.aborted
    const ended = await withHeartbeat(runs, Promise.all(runs.map((run) => run.conclude({ fast }))))
    deps.intent(intentsOf(runs.filter(isOpen)))
    return [...ended, ...skipped]
  } catch (error) {
    await abandon(waves, error)
    throw error
  } finally {
    reportProgress(waves)
    closeWatches(watched)
  }
}

/** A poll that takes longer looks stuck, so that the guard takes over. */
function longestReadingMs(config: Config): number {
  return Math.min(...allCanariesOf(config).map(({ guard }) => (guard.enabled ? guard.after / 2 : Infinity)), 10_000)
}

function wavesOf(config: Config): CanaryConfig[][] {
  const all = allCanariesOf(config)
  return [...new Set(all.map(({ wave }) => wave))]
    .sort((a, b) => a - b)
    .map((wave) => all.filter((plan) => plan.wave === wave))
}

async function startWave(waves: Waves, plans: CanaryConfig[]) {
  const { config, deps, runs, skipped } = waves
  const stop = whyStopped(waves)
  waves.isOver ||= stop?.isOver === true
  for (const plan of plans) {
    deps.signal.throwIfAborted()
    const started = await startOne(waves, plan, stop)
    if ('idle' in started) {
      const { idle, plan, weight, error } = started
      const state = skippedState(plan, weight, deps.clock.now(), idle)
      const open = error === undefined ? {} : { verdict: 'inconclusive' as const, error }
      skipped.push({ ...state, ...open, plan, namespace: config.namespace })
    } else runs.push(started)
    deps.intent(intentsOf(runs))
  }
}

/**
 * Why no promotion begins any more. `putsBack`: what an earlier run has left under way goes back, because of `cause`.
 * `isOver`: the next run continues.
 */
type Stop = { reason: string; putsBack: boolean; cause?: string; isOver?: boolean }

function whyStopped({ config: { together }, deps, runs }: Waves): Stop | undefined {
  const failed = firstFailed(runs)
  if (failed) return { reason: whatFailed(failed), putsBack: together && !isHeld(failed), cause: failed.plan.service }
  if (deps.stopped !== undefined) return { reason: deps.stopped, putsBack: true }
  const other = together ? deps.others?.failure() : undefined
  if (other) return { reason: `${other.reason} in the cluster ${other.cluster}`, putsBack: true, cause: other.cluster }
  const over = whyOver(deps)
  return over === undefined ? undefined : { reason: over, putsBack: false, isOver: true }
}

async function startOne(waves: Waves, plan: CanaryConfig, stop: Stop | undefined): Promise<Run | Idle> {
  const { cluster, config, deps, watched, runs } = waves
  if (plan.engine.type !== 'builtin')
    return stop ? { idle: stop.reason, plan, weight: 0 } : withHeartbeat(runs, deps.follow(plan, watched, deps))
  const weight = await (stop ? readAnyWeight : readWeight)(cluster, splitOf(config, plan))
  if (stop && (!stop.putsBack || weight === 0)) return { idle: stop.reason, plan, weight }
  const idle = deps.whyIdle?.(plan.service) ?? (await whySkipped(cluster, config, plan, weight, watched))
  if (idle !== undefined) return { idle: stop?.reason ?? idle, plan, weight }
  const started = withHeartbeat(runs, startPromotion(cluster, config, plan, watched, deps))
  return stop ? putBack(started, plan, weight, stop) : started
}

/** Takes over what an earlier run has left, to return its traffic to stable. */
async function putBack(
  started: Promise<Run>,
  plan: CanaryConfig,
  weight: number,
  { reason, cause }: Stop,
): Promise<Run | Idle> {
  try {
    const run = await started
    await run.rollBack(`rolled back because ${reason}`, cause)
    return run
  } catch (problem) {
    const error = `${reason}, but the canary keeps its weight ${weight} from an earlier run: ${messageOf(problem)}`
    return { idle: error, plan, weight, error: `${error}; run the stage rollback` }
  }
}

/** Why nothing starts any more; undefined as long as the run has time. */
function whyOver({ runsUntil, clock }: PromoteDeps): string | undefined {
  return runsUntil && clock.now() >= runsUntil.at ? `${runsUntil.why}; the next run continues` : undefined
}

/** Polls at an even pace until all have ended: by themselves, because another one failed, or because the run is cancelled. */
async function runLoop(waves: Waves): Promise<void> {
  const { config, runs, deps } = waves
  const { signal, clock } = deps
  const followed = () => JSON.stringify(runs.map(({ intent }) => intent.followed))
  let saved = followed()
  let tookMs = 0
  let isSlow = false
  const tickAll = async () => {
    const startedAt = clock.now()
    await Promise.all(runs.map((run) => run.tick()))
    tookMs = clock.now() - startedAt
    const pollMs = intervalOf(runs)
    if (tookMs <= pollMs || isSlow) return
    isSlow = true
    deps.note(describeSlowPoll(tookMs, pollMs, config))
  }
  const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  while (runs.some((run) => run.isBusy)) {
    const ticks = clock
      .sleep(pauseAfter(tookMs, intervalOf(runs)), signal)
      .then(tickAll)
      .catch(() => undefined)
    // A cancelled run does not wait for the current sample.
    await withHeartbeat(runs, Promise.race([ticks, aborted]))
    reportProgress(waves)
    // What a followed run would have to abort becomes known on the way.
    if (followed() !== saved) deps.intent(intentsOf(runs))
    saved = followed()
    if (signal.aborted) return cancelAll(runs.filter((run) => run.isBusy))
    await handOverInTime(runs, deps)
    await rollBackTogether(waves)
  }
}

async function handOverInTime(runs: Run[], { runsUntil, clock }: PromoteDeps): Promise<void> {
  const now = clock.now()
  if (!runsUntil || now < runsUntil.at) return
  const how = { ...runsUntil, isLast: now >= runsUntil.latestAt }
  await Promise.all(runs.flatMap((run) => run.handOver?.(how) ?? []))
}

/** That of the run that needs its next sample first. */
function intervalOf(runs: Run[]): number {
  return Math.min(
    ...runs.map(({ plan, isBusy, isCalm }) => (isBusy && !isCalm ? plan.pollInterval : calmInterval(plan))),
  )
}

/** A slow API server gets a pause, too: half as long as it took. */
function pauseAfter(tookMs: number, pollMs: number): number {
  return Math.max(pollMs - tookMs, pollMs / 2, tookMs > pollMs ? tookMs / 2 : 0)
}

function describeSlowPoll(tookMs: number, pollMs: number, { limits }: Config): string {
  const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`
  return (
    `a sample took ${seconds(tookMs)}, longer than \`pollInterval\` (${seconds(pollMs)}): while that is so, the next ` +
    `one starts ${seconds(pauseAfter(tookMs, pollMs))} later; fewer pods (\`maxPods\`) make it faster` +
    (limits.requestsPerSecond === undefined ? '' : ', and so does a higher `limits.requestsPerSecond`')
  )
}

function reportProgress({ runs, watched, deps }: Waves): void {
  const progress = runs.map(({ plan, split, state, selectors, where }) => {
    const [deployment, another] = workloadsOf(currentObjects(watched.workloads), selectors.canary)
    const isKnown = deployment && !another && deployment.kind === 'Deployment'
    return {
      plan,
      namespace: split.namespace,
      state,
      where,
      ...(isKnown ? { deployment: deployment.metadata.name } : {}),
    }
  })
  deps.onProgress(progress)
}

async function cancelAll(runs: Run[]): Promise<void> {
  await Promise.all(runs.map((run) => run.cancel(cancelled)))
}

/** If one has failed, here or in another cluster, and the config wants all to share its fate. */
async function rollBackTogether({ config, runs, deps }: Waves): Promise<void> {
  if (!config.together) return
  const failed = runs.find((run) => hasFailed(run) && !isHeld(run))
  const elsewhere = deps.others?.failure()
  const others = runs.filter((run) => !hasFailed(run))
  const rollBack = (reason: string, cause: string) =>
    Promise.all(others.map((run) => run.rollBack(`rolled back ${reason}`, cause)))
  if (failed) await rollBack(`together with ${failed.plan.service}`, failed.plan.service)
  else if (elsewhere)
    await rollBack(`because ${elsewhere.reason} in the cluster ${elsewhere.cluster}`, elsewhere.cluster)
}

/** What was promoted here is only final when it is in the other clusters, too. */
async function awaitOthers(waves: Waves): Promise<void> {
  const { config, runs, deps } = waves
  const { others, signal } = deps
  if (!others) return
  const settled = others.settle(outcomeOf(waves))
  if (!config.together) return void settled.catch(() => undefined)
  await waitFor(waves, others, settled)
  if (others.isFinal()) return
  if (signal.aborted) return cancelAll(runs.filter(isPromoted))
  await rollBackTogether(waves)
  handOverPromoted(waves, others)
  await runLoop(waves)
}

function outcomeOf({ runs, isOver }: Waves): ClusterOutcome {
  const failed = firstFailed(runs)
  if (failed) return { failure: whatFailed(failed), putsBack: !isHeld(failed) }
  return { handedOver: isOver || runs.some(({ isHandedOver }) => isHandedOver === true) }
}

/** The time of the run is over before all clusters have promoted theirs. */
function handOverPromoted({ runs, deps: { runsUntil } }: Waves, others: OtherClusters): void {
  const promoted = runs.filter(isPromoted)
  if (!runsUntil || promoted.length === 0) return
  void others.settle({ handedOver: true }).catch(() => undefined)
  promoted.forEach((run) => run.handOverPromoted?.({ ...runsUntil, isLast: true }))
}

/** Looks now and then whether what was promoted here is still so, and tells the others if it is not. */
async function waitFor(waves: Waves, others: OtherClusters, settled: Promise<void>): Promise<void> {
  const { runs, deps } = waves
  const { signal, clock, runsUntil } = deps
  const over = settled.then(
    () => false,
    () => false,
  )
  const look = async () => {
    await clock.sleep(waitPollMs, signal)
    await Promise.all(runs.map((run) => run.tick()))
    return true
  }
  const unlessAborted = (problem: unknown) => {
    if (!signal.aborted) throw problem
    return false
  }
  while (await withHeartbeat(runs, Promise.race([over, look().catch(unlessAborted)]))) {
    const outcome = outcomeOf(waves)
    if (outcome.putsBack) void others.settle(outcome).catch(() => undefined)
    if (runsUntil && clock.now() >= runsUntil.latestAt) return
  }
}

const waitPollMs = 2_000

/** Ends all promotions as fast as possible after an error outside them, such as one that cannot start. */
async function abandon({ config, deps, runs }: Waves, error: unknown): Promise<void> {
  if (deps.signal.aborted) await cancelAll(runs.filter((run) => !run.hasEnded()))
  else {
    const affected = runs.filter((run) => config.together || !run.hasEnded())
    await Promise.all(affected.map((run) => run.rollBack(`the promotion could not continue: ${messageOf(error)}`)))
  }
  await Promise.all(runs.map((run) => run.conclude({ fast: true })))
  deps.intent(intentsOf(runs.filter(isOpen)))
}

function intentsOf(runs: Run[]): RecoveryIntent[] {
  return runs.map(({ intent }) => intent)
}

/** True if the post step has to roll it back, or to check that it drains. */
const isOpen = ({ isSafe, needsDrainCheck }: Run) => !isSafe || needsDrainCheck

const heartbeatMs = 2_000

/** Renews the Leases of the running promotions while `work` takes longer than a moment. */
async function withHeartbeat<T>(runs: Run[], work: Promise<T>): Promise<T> {
  const timer = setInterval(() => runs.forEach((run) => void run.heartbeat()), heartbeatMs)
  try {
    return await work
  } finally {
    clearInterval(timer)
  }
}
