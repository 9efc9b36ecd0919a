// Runs the promotions of a run, wave by wave, in one loop. Every promotion ends at a safe weight, whatever happens.
import { urgent, type Cluster } from '../cluster/client.ts'
import { allCanariesOf } from '../config/names.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import { messageOf } from '../runtime/errors.ts'
import { unlessAborted } from '../runtime/timeout.ts'
import {
  hasFailed,
  isHeld,
  isPromoted,
  withHeartbeat,
  type ActivePromotion,
  type RecoveryIntent,
} from './active-promotion.ts'
import { currentObjects, type Promotion } from './controller/context.ts'
import { findGateways } from './controller/gateways.ts'
import { closeWatches, watchObjects } from './controller/watch.ts'
import { sharedSidecarReaders } from './metrics/shared-reader.ts'
import { handOverPromoted, isHandedOver, outcomeOf, tellOfFailure, watchWhileWaiting } from './other-clusters.ts'
import { startWave } from './start-wave.ts'
import { steadyPollInterval } from './state/steady.ts'
import { PromotionsStopped, type PromoteDeps, type Waves } from './waves.ts'
import { workloadsOf } from './workload/fingerprint.ts'

const cancelled = 'the run was cancelled'

/**
 * @throws PromotionsStopped, or another Error if none has begun, if a promotion cannot start; those under way are then rolled
 * back, or held as `onCancel` says.
 */
export async function promote(rateLimited: Cluster, config: Config, given: PromoteDeps): Promise<Promotion[]> {
  const cluster = urgent(rateLimited)
  const gateways = await findGateways(cluster, config)
  const deps = {
    ...given,
    readSidecars: sharedSidecarReaders(cluster, longestReadingMs(config), given.note),
    unreadGateways: (service: string) => gateways.unread.get(service) ?? [],
  }
  const watched = await watchObjects(cluster, config, gateways.pods)
  const waves: Waves = { cluster, config, deps, watched, runs: [], skipped: [], isOutOfTime: false }
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
    const ended = await abandon(waves, error)
    throw ended.length > 0 ? new PromotionsStopped(error, [...ended, ...skipped]) : error
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

/** Polls at even intervals until all have ended: by themselves, with another one that failed, or because of a cancel. */
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
    deps.note(describeSlowPoll(tookMs, runs, config))
  }
  while (runs.some((run) => run.isBusy)) {
    const ticks = clock.sleep(pauseAfter(tookMs, intervalOf(runs)), signal).then(tickAll)
    // A cancelled run does not wait for the current sample.
    const untilAborted = unlessAborted(ticks, signal).catch(() => undefined)
    // A rollback that hangs must not keep the failure from the other clusters.
    const tell = () => tellOfFailure(waves, deps.others)
    await withHeartbeat(runs, untilAborted, tell)
    reportProgress(waves)
    // What a followed run would have to abort becomes known on the way.
    if (followed() !== saved) deps.intent(intentsOf(runs))
    saved = followed()
    if (signal.aborted) return cancelAll(runs.filter((run) => run.isBusy))
    await handOverInTime(runs, deps)
    tell()
    await rollBackTogether(waves)
  }
}

async function handOverInTime(runs: ActivePromotion[], { runsUntil, clock }: PromoteDeps): Promise<void> {
  const now = clock.now()
  if (!runsUntil || now < runsUntil.at) return
  const how = { ...runsUntil, isLast: now >= runsUntil.latestAt }
  await Promise.all(runs.flatMap((run) => run.handOver?.(how) ?? []))
}

/** That of the run that needs its next sample first. */
function intervalOf(runs: ActivePromotion[]): number {
  return Math.min(
    ...runs.map(({ plan, isBusy, isSteady }) => (isBusy && !isSteady ? plan.pollInterval : steadyPollInterval(plan))),
  )
}

/** A slow API server gets a pause, too: half as long as it took. */
function pauseAfter(tookMs: number, pollMs: number): number {
  return Math.max(pollMs - tookMs, pollMs / 2, tookMs > pollMs ? tookMs / 2 : 0)
}

function describeSlowPoll(tookMs: number, runs: ActivePromotion[], { limits }: Config): string {
  const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`
  const pollInterval = Math.min(...runs.map(({ plan }) => plan.pollInterval))
  return (
    `a sample took ${seconds(tookMs)}, longer than \`pollInterval\` (${seconds(pollInterval)}), so the run samples less ` +
    'often; lower `maxPods`' +
    (limits.requestsPerSecond === undefined ? '' : ', or raise `limits.requestsPerSecond`')
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

async function cancelAll(runs: ActivePromotion[]): Promise<void> {
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

/** With `together`, what is promoted is only final when all are: here, and in the other clusters. */
async function awaitOthers(waves: Waves): Promise<void> {
  const { config, runs, deps } = waves
  const { others, signal, runsUntil } = deps
  if (!others) {
    if (config.together && runsUntil && isHandedOver(waves)) handOverPromoted(runs, others, runsUntil)
    return
  }
  const reported = others.report(outcomeOf(waves))
  if (!config.together) return void reported.catch(() => undefined)
  await watchWhileWaiting(waves, others, reported)
  if (others.isFinal()) return
  if (signal.aborted) return cancelAll(runs.filter(isPromoted))
  await rollBackTogether(waves)
  if (runsUntil) handOverPromoted(runs, others, runsUntil)
  await runLoop(waves)
}

/** Ends all promotions as fast as possible after an error outside them, such as one that cannot start. */
async function abandon({ config, deps, runs }: Waves, error: unknown): Promise<Promotion[]> {
  if (deps.signal.aborted) await cancelAll(runs.filter((run) => !run.hasEnded()))
  else {
    const affected = runs.filter((run) => config.together || !run.hasEnded())
    await Promise.all(affected.map((run) => run.rollBack(`the promotion could not continue: ${messageOf(error)}`)))
  }
  const ended = await Promise.all(runs.map((run) => run.conclude({ fast: true })))
  deps.intent(intentsOf(runs.filter(isOpen)))
  return ended
}

function intentsOf(runs: ActivePromotion[]): RecoveryIntent[] {
  return runs.map(({ intent }) => intent)
}

/** True if the post step has to roll it back, or to check that it drains. */
const isOpen = ({ isSafe, needsDrainCheck }: ActivePromotion) => !isSafe || needsDrainCheck
