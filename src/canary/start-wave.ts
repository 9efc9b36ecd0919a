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
import { skippedState } from './state/start.ts'
import { readAnyWeight, readWeight } from './traffic/router.ts'
import type { Waves } from './waves.ts'

/** @throws Error if a promotion cannot start */
export async function startWave(waves: Waves, plans: CanaryConfig[]): Promise<void> {
  const { config, deps, runs, skipped } = waves
  const obstacle = findObstacle(waves)
  for (const plan of plans) {
    deps.signal.throwIfAborted()
    const started = await startPlan(waves, plan, obstacle)
    if ('idle' in started) {
      waves.isOutOfTime ||= started.isOutOfTime === true
      skipped.push(notStarted(started, config.namespace, deps.clock.now()))
    } else runs.push(started)
    deps.intent(runs.map(({ intent }) => intent))
  }
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
): Promise<ActivePromotion | Idle> {
  const { cluster, config, deps, watched, runs } = waves
  if (plan.engine.type !== 'builtin')
    return obstacle ? prevented(plan, 0, obstacle) : withHeartbeat(runs, deps.follow(plan, watched, deps))
  const weight = await (obstacle ? readAnyWeight : readWeight)(cluster, splitOf(config, plan))
  const whyIdle = async () => deps.whyIdle?.(plan.service) ?? (await whySkipped(cluster, config, plan, weight, watched))
  if (obstacle?.isOutOfTime) {
    // What cannot be read is left to the next run.
    const idle = await whyIdle().catch(() => undefined)
    return idle === undefined ? prevented(plan, weight, obstacle) : { idle, plan, weight }
  }
  if (obstacle && (!obstacle.rollsBackEarlierRun || weight === 0)) return prevented(plan, weight, obstacle)
  const idle = await whyIdle()
  if (idle !== undefined) return obstacle ? prevented(plan, weight, obstacle) : { idle, plan, weight }
  // To roll back, this run does not wait for another: that one may promote what it would then take away.
  const claiming = obstacle ? { ...plan, leaseWaitTimeout: 0 } : plan
  const started = withHeartbeat(runs, startPromotion(cluster, config, claiming, watched, deps))
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
