// Runs the promotions of a run, wave by wave, in one loop. Every promotion ends at a safe weight, whatever happens.
import { urgent, type Cluster } from '../cluster/client.ts'
import { allCanariesOf } from '../config/names.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import { messageOf } from '../runtime/errors.ts'
import { currentObjects, type Promotion, type PromotionDeps, type WatchedObjects } from './controller/context.ts'
import { whySkipped } from './controller/skip.ts'
import { startPromotion } from './controller/start.ts'
import type { DrainTarget } from './controller/undrained.ts'
import { closeWatches, watchObjects } from './controller/watch.ts'
import { sharedSidecarReaders } from './metrics/shared-reader.ts'
import { calmInterval } from './state/calm.ts'
import { isHeldAsPlanned } from './state/ending.ts'
import type { HandOver } from './state/hand-over.ts'
import { skippedState } from './state/start.ts'
import type { State } from './state/types.ts'
import { splitOf, type Split } from '../policies/routes.ts'
import { workloadsOf } from './workload/fingerprint.ts'
import type { VersionSelectors } from './workload/selectors.ts'
import { readWeight } from './traffic/router.ts'

/**
 * What this process is responsible for: whose traffic, and the name that holds the Lease. `needsDrainCheck`: the
 * traffic is rolled back, and only the drain has to be checked. `followed`: the rollout of a controller, which has no Lease.
 */
export type RecoveryIntent = {
  split: Split
  identity: string
  selectors: VersionSelectors
  drainTarget: DrainTarget
  needsDrainCheck: boolean
  followed?: FollowedRollout
}

/**
 * The rollout that a run follows. `revision`: the one that it follows. As long as that is not known, `from` is the one before, and any
 * other is that of the run. `holds`: it goes on if the run dies, because the plan says so and nothing condemns it.
 */
export type FollowedRollout = { type: 'argo-rollouts' | 'flagger'; name: string; holds?: true } & (
  | { revision: string }
  | { from: string }
)

/** A promotion under way, whoever moves its traffic. None of its methods rejects. */
export type Run = {
  plan: CanaryConfig
  split: Split
  selectors: VersionSelectors
  state: State
  intent: RecoveryIntent
  /** It has not ended, or a decision is not written yet. */
  isBusy: boolean
  /** It is in the middle of a long step, and nothing leans against the canary: the next sample may come later. */
  isCalm: boolean
  /** False if its traffic should return to stable and that is not written. */
  isSafe: boolean
  /** Its traffic was rolled back, and nothing has checked yet whether the proxies follow. */
  needsDrainCheck: boolean
  hasEnded(): boolean
  tick(): Promise<void>
  heartbeat(): Promise<void>
  rollBack(reason: string, rolledBackWith?: string): Promise<void>
  cancel(reason: string): Promise<void>
  /** Undefined if a controller moves the traffic: it goes on without the run. */
  handOver?(how: HandOver): Promise<void>
  conclude(how: { fast: boolean }): Promise<Promotion>
}

/** There is nothing to promote. `weight`: the canary's, in per cent. */
export type Idle = { idle: string; plan: CanaryConfig; weight: number }

type SharedReaders = Required<Pick<PromotionDeps, 'readSidecars'>>

/** A promotion as it is now. `deployment`: whose pods are the canary's, if it is one Deployment. */
export type PromotionProgress = { plan: CanaryConfig; namespace: string; state: State; deployment?: string }

/**
 * `onProgress`: called after each poll, and at the end.
 * `intent` records what to roll back if this process dies. `whyIdle`: why there is nothing to promote for a service,
 * if the caller knows. `runsUntil`: when the promotions under way are handed over to the next run, by `clock`, and
 * when at the latest.
 */
export type PromoteDeps = PromotionDeps & {
  intent: (intents: RecoveryIntent[]) => void
  onProgress: (promotions: PromotionProgress[]) => void
  whyIdle?: (service: string) => string | undefined
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
}

/** @throws Error if a promotion cannot start; those under way are then rolled back, or held as `onCancel` says. */
export async function promote(paced: Cluster, config: Config, given: PromoteDeps): Promise<Promotion[]> {
  const cluster = urgent(paced)
  const deps = { ...given, readSidecars: sharedSidecarReaders(cluster, longestReadingMs(config)) }
  const watched = await watchObjects(cluster, config)
  const waves: Waves = { cluster, config, deps, watched, runs: [], skipped: [] }
  const { runs, skipped } = waves
  try {
    for (const plans of wavesOf(config)) {
      await startWave(waves, plans)
      await runLoop(waves)
    }
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
  const failed = runs.find(hasFailed)
  const whyNot = failed ? `the canary of ${failed.plan.service} was not promoted` : whyOver(deps)
  for (const plan of plans) {
    deps.signal.throwIfAborted()
    const started = await startOne(waves, plan, whyNot)
    if ('idle' in started) {
      const { idle, plan, weight } = started
      skipped.push({ ...skippedState(plan, weight, deps.clock.now(), idle), plan, namespace: config.namespace })
    } else runs.push(started)
    deps.intent(intentsOf(runs))
  }
}

async function startOne(
  { cluster, config, deps, watched, runs }: Waves,
  plan: CanaryConfig,
  whyNot: string | undefined,
): Promise<Run | Idle> {
  if (plan.engine.type !== 'builtin')
    return whyNot === undefined
      ? withHeartbeat(runs, deps.follow(plan, watched, deps))
      : { idle: whyNot, plan, weight: 0 }
  const weight = await readWeight(cluster, splitOf(config, plan))
  const idle = whyNot ?? deps.whyIdle?.(plan.service) ?? (await whySkipped(cluster, config, plan, weight, watched))
  if (idle !== undefined) return { idle, plan, weight }
  return withHeartbeat(runs, startPromotion(cluster, config, plan, watched, deps))
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
    const failed = runs.find((run) => hasFailed(run) && !isHeld(run))
    if (failed && config.together) await rollBackWith(failed, runs)
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
  const progress = runs.map(({ plan, split, state, selectors }) => {
    const [deployment, another] = workloadsOf(currentObjects(watched.workloads), selectors.canary)
    const isKnown = deployment && !another && deployment.kind === 'Deployment'
    return { plan, namespace: split.namespace, state, ...(isKnown ? { deployment: deployment.metadata.name } : {}) }
  })
  deps.onProgress(progress)
}

async function cancelAll(runs: Run[]): Promise<void> {
  await Promise.all(runs.map((run) => run.cancel(cancelled)))
}

async function rollBackWith(failed: Run, runs: Run[]): Promise<void> {
  const { service } = failed.plan
  const others = runs.filter((run) => run !== failed && !hasFailed(run))
  await Promise.all(others.map((run) => run.rollBack(`rolled back together with ${service}`, service)))
}

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

function hasFailed({ state }: Run): boolean {
  return state.phase === 'ended' && state.verdict !== 'promoted' && !isHeldAsPlanned(state)
}

const isHeld = ({ state }: Run) => state.phase === 'ended' && state.verdict === 'held'

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
