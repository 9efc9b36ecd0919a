// Starts the promotions of a wave. Where nothing may begin any more, it rolls back what an earlier run has left under way.
import type { CanaryConfig } from '../config/schema.ts'
import { splitOf } from '../policies/routes.ts'
import { messageOf } from '../runtime/errors.ts'
import {
  decisiveFailure,
  describeFailure,
  isHeld,
  withHeartbeat,
  type ActivePromotion,
  type Idle,
} from './active-promotion.ts'
import type { Promotion } from './controller/context.ts'
import { whySkipped } from './controller/skip.ts'
import { startPromotion } from './controller/start.ts'
import type { ObservedLease } from './ownership/lease-decision.ts'
import { LeaseHeld, waitForFreeLease } from './ownership/lease.ts'
import { skippedState } from './state/start.ts'
import { readAnyWeight, readWeight } from './traffic/router.ts'
import type { Waves } from './waves.ts'

/** @throws Error if a promotion cannot start */
export async function startWave(waves: Waves, plans: CanaryConfig[]): Promise<void> {
  const { config, deps, runs, skipped } = waves
  deps.readSidecars.beginWave()
  const leases = findObstacle(waves) ? undefined : await waitForLeases(waves, plans.filter(isBuiltin))
  const obstacle = findObstacle(waves)
  // What has begun is judged only when all have: an engine may take minutes to see what it has to roll out.
  for (const plan of [...plans.filter((each) => !isBuiltin(each)), ...plans.filter(isBuiltin)]) {
    deps.signal.throwIfAborted()
    const started = await startPlan(waves, plan, obstacle, leases?.get(plan))
    if ('idle' in started) {
      waves.isOutOfTime ||= started.isOutOfTime === true
      skipped.push(notStarted(started, config.namespace, deps.clock.now()))
    } else runs.push(started)
    deps.intent(runs.map(({ intent }) => intent))
  }
}

const isBuiltin = ({ engine }: CanaryConfig) => engine.type === 'builtin'

/**
 * Waits for other runs before the first promotion begins. What has nothing to do waits for nobody. Returns what the run has
 * seen of each Lease. @throws LeaseHeld when `leaseWaitTimeout` is over; not if the time of the run is over, too
 */
async function waitForLeases(waves: Waves, plans: CanaryConfig[]): Promise<Map<CanaryConfig, ObservedLease>> {
  const { cluster, config, deps, runs } = waves
  const { clock, note, runsUntil } = deps
  const endsAt = runsUntil?.at ?? Infinity
  const over = new AbortController()
  const signal = AbortSignal.any([deps.signal, over.signal])
  const leases = new Map<CanaryConfig, ObservedLease>()
  const wait = async (plan: CanaryConfig) => {
    const idle = await whyIdle(waves, plan, await readWeight(cluster, splitOf(config, plan)))
    if (idle !== undefined) return
    const { service, leaseWaitTimeout } = plan
    const waitMs = Math.min(leaseWaitTimeout, endsAt - clock.now())
    const waiting = { namespace: config.namespace, service, waitMs, signal, clock, note }
    leases.set(plan, await waitForFreeLease(cluster, waiting))
  }
  try {
    await withHeartbeat(runs, Promise.all(plans.map(wait)))
  } catch (problem) {
    if (!(problem instanceof LeaseHeld) || clock.now() < endsAt) throw problem
  } finally {
    over.abort()
  }
  return leases
}

async function whyIdle(waves: Waves, plan: CanaryConfig, weight: number): Promise<string | undefined> {
  const { cluster, config, deps, watched } = waves
  return deps.whyIdle?.(plan.service) ?? (await whySkipped(cluster, config, plan, weight, watched))
}

/** Only what has nothing left to do is skipped as done. What the next run begins is held, as planned. */
function notStarted(idle: Idle, namespace: string, now: number): Promotion {
  const { plan, weight, error, isPrevented = false, isOutOfTime = false } = idle
  const state = skippedState(plan, weight, now, idle.idle)
  const ended = { plan, namespace, notStarted: isPrevented ? ('prevented' as const) : ('nothing-to-do' as const) }
  if (error !== undefined) return { ...state, ...ended, verdict: 'inconclusive', error }
  return isOutOfTime ? { ...state, ...ended, verdict: 'held', asPlanned: true } : { ...state, ...ended }
}

/**
 * Why no promotion begins any more. `rollsBackEarlierRun`: what an earlier run has left under way is rolled back, because
 * of `cause`. `isOutOfTime`: the next run continues.
 */
type Obstacle = { reason: string; rollsBackEarlierRun: boolean; cause?: string; isOutOfTime?: boolean }

function findObstacle({ config: { together }, deps, runs }: Waves): Obstacle | undefined {
  const { others, fleetFailure, runsUntil, clock } = deps
  const failed = decisiveFailure(runs)
  if (failed)
    return {
      reason: describeFailure(failed),
      rollsBackEarlierRun: together && !isHeld(failed),
      cause: failed.plan.service,
    }
  if (fleetFailure !== undefined) return { reason: fleetFailure, rollsBackEarlierRun: true }
  const other = together ? others?.failure() : undefined
  if (other)
    return {
      reason: `${other.reason} in the cluster ${other.cluster}`,
      rollsBackEarlierRun: true,
      cause: other.cluster,
    }
  return runsUntil && clock.now() >= runsUntil.at
    ? { reason: `${runsUntil.why}; the next run continues`, rollsBackEarlierRun: false, isOutOfTime: true }
    : undefined
}

async function startPlan(
  waves: Waves,
  plan: CanaryConfig,
  obstacle: Obstacle | undefined,
  observedLease: ObservedLease | undefined,
): Promise<ActivePromotion | Idle> {
  const { cluster, config, deps, watched, runs } = waves
  if (!isBuiltin(plan))
    return obstacle ? prevented(plan, 0, obstacle) : withHeartbeat(runs, deps.follow(plan, watched, deps))
  const weight = await (obstacle ? readAnyWeight : readWeight)(cluster, splitOf(config, plan))
  if (obstacle?.isOutOfTime) {
    // What cannot be read is left to the next run.
    const idle = await whyIdle(waves, plan, weight).catch(() => undefined)
    return idle === undefined ? prevented(plan, weight, obstacle) : { idle, plan, weight }
  }
  if (obstacle && (!obstacle.rollsBackEarlierRun || weight === 0)) return prevented(plan, weight, obstacle)
  const idle = await whyIdle(waves, plan, weight)
  if (idle !== undefined) return obstacle ? prevented(plan, weight, obstacle) : { idle, plan, weight }
  // To roll back, this run does not wait for another: that one may promote what it would then take away.
  const claiming = obstacle ? { ...plan, leaseWaitTimeout: 0 } : plan
  const starting = startPromotion(cluster, config, claiming, watched, { ...deps, observedLease })
  const started = withHeartbeat(runs, starting)
  return obstacle ? takeOverAndRollBack(started, plan, weight, obstacle) : started
}

function prevented(plan: CanaryConfig, weight: number, { reason, isOutOfTime = false }: Obstacle): Idle {
  const kept = isOutOfTime && weight > 0 ? `, and the canary keeps its weight ${weight} from an earlier run` : ''
  return { idle: `${reason}${kept}`, plan, weight, isPrevented: true, isOutOfTime }
}

async function takeOverAndRollBack(
  started: Promise<ActivePromotion>,
  plan: CanaryConfig,
  weight: number,
  { reason, cause }: Obstacle,
): Promise<ActivePromotion | Idle> {
  try {
    const run = await started
    await run.rollBack(`rolled back because ${reason}`, cause)
    return run
  } catch (problem) {
    const error = `${reason}, but the canary keeps its weight ${weight} from an earlier run: ${messageOf(problem)}`
    return { idle: error, plan, weight, isPrevented: true, error: `${error}; run the stage rollback` }
  }
}
