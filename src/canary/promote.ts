// The promotions of a run, wave by wave, under one watch: all end on a safe weight whatever happens.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cluster, emptyWhenUnread } from '../cluster/client.ts'
import { systemNamespace, type GatewayRoute, type Pod, type VirtualService, type Workload } from '../cluster/objects.ts'
import { watch } from '../cluster/watch.ts'
import { canariesOf } from '../config/names.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import { messageOf } from '../runtime/errors.ts'
import { gatewayLabel } from '../policies/compile/index.ts'
import { isAdopted } from './controller/adopt.ts'
import { monotonicNow } from '../runtime/clock.ts'
import { selectorsOf } from './workload/selectors.ts'
import { readLeftPromotion } from './ownership/lease.ts'
import { isHeldAsPlanned, skippedState, stagesOf } from './state/machine.ts'
import {
  startPromotion,
  splitOf,
  type PromotionRun,
  type Promotion,
  type PromotionDeps as Around,
  type WatchedObjects,
} from './controller/promotion.ts'
import type { DrainTarget } from './controller/drain.ts'
import { readWeight, type Split } from './traffic/router.ts'

/** What this process has taken on: whose traffic, under which holder's name. `unseen`: it is put back, and only to be looked at. */
export type RecoveryIntent = { split: Split; identity: string; drainTarget: DrainTarget; needsDrainCheck: boolean }

/** `intent` is told what to put back should this process die. */
export type PromoteDeps = Around & { intent: (intents: RecoveryIntent[]) => void }

export async function promote(cluster: Cluster, config: Config, around: PromoteDeps): Promise<Promotion[]> {
  const watched = await watchAll(cluster, config)
  const moved: PromotionRun[] = []
  const skipped: Promotion[] = []
  try {
    for (const plans of wavesOf(config)) {
      const failed = moved.find(isBad)
      for (const plan of plans) {
        around.signal.throwIfAborted()
        const weight = await readWeight(cluster, splitOf(config, plan))
        const why = failed
          ? `the canary of ${failed.plan.service} was not promoted`
          : await whySkipped(cluster, config, plan, weight)
        if (why === undefined)
          moved.push(await withHeartbeat(moved, startPromotion(cluster, config, plan, watched, around)))
        else
          skipped.push({
            ...skippedState(plan, weight, monotonicNow(), why),
            plan,
            namespace: config.namespace,
          })
        around.intent(intentsOf(moved))
      }
      await runLoop(config, moved, around)
    }
    const ended = await withHeartbeat(moved, Promise.all(moved.map((each) => each.finish(around.signal.aborted))))
    around.intent(intentsOf(moved.filter(isOpen)))
    return [...ended, ...skipped]
  } catch (error) {
    if (around.signal.aborted)
      await Promise.all(moved.filter(isMoving).map((each) => each.cancel('the run was cancelled')))
    else
      await stopAll(
        moved.filter((each) => config.together || isMoving(each)),
        `the promotion could not go on: ${messageOf(error)}`,
      )
    await Promise.all(moved.map((each) => each.finish(true)))
    around.intent(intentsOf(moved.filter(isOpen)))
    throw error
  } finally {
    Object.values(watched)
      .flat()
      .forEach((each) => each.close())
  }
}

function intentsOf(moved: PromotionRun[]): RecoveryIntent[] {
  return moved.map(({ split, identity, drainTarget, safe, needsDrainCheck }) => ({
    split,
    identity,
    drainTarget,
    needsDrainCheck: safe() && needsDrainCheck(),
  }))
}

/** Left to the post step is what could not be put back, and what nobody has seen to be quiet. */
const isOpen = ({ safe, needsDrainCheck }: PromotionRun) => !safe() || needsDrainCheck()

const heartbeatMs = 2_000

/** While something takes longer than a moment, those that are begun keep their Leases. */
async function withHeartbeat<T>(moved: PromotionRun[], work: Promise<T>): Promise<T> {
  const beating = setInterval(() => moved.forEach((each) => void each.heartbeat()), heartbeatMs)
  try {
    return await work
  } finally {
    clearInterval(beating)
  }
}

function wavesOf(config: Config): CanaryConfig[][] {
  const all = canariesOf(config)
  return [...new Set(all.map(({ wave }) => wave))]
    .sort((a, b) => a - b)
    .map((wave) => all.filter((plan) => plan.wave === wave))
}

/**
 * Why the canary is left as it is; one that has all the traffic but was not adopted yet still has a way to go, and so has
 * one whose run was lost before its last step had passed.
 */
async function whySkipped(
  cluster: Cluster,
  config: Config,
  plan: CanaryConfig,
  weight: number,
): Promise<string | undefined> {
  const name = plan.canary.name
  if (
    plan.after === 'adopt' &&
    (await isAdopted(cluster, splitOf(config, plan), await selectorsOf(cluster, config, plan)))
  )
    return `stable runs what ${name} runs, and ${name} rests: it was adopted already`
  const last = stagesOf(plan).at(-1)
  const reached = last?.kind === 'weight' && weight >= last.weight
  if (!reached || (plan.after === 'adopt' && weight === 100)) return undefined
  const left = await readLeftPromotion(cluster, config.namespace, plan.service)
  return left && left.state.phase !== 'ended' ? undefined : `the canary ${name} already has the weight ${weight}`
}

/** Each is read once and then watched: the pods of the namespace, of the clients beside it and of the gateways; workloads; routes. */
async function watchAll(cluster: Cluster, config: Config): Promise<WatchedObjects> {
  const canaries = canariesOf(config)
  const { namespace } = config
  const namespaces = [...new Set([namespace, ...canaries.flatMap((plan) => plan.clients ?? [])])]
  const gateways = [...new Set(canaries.flatMap(({ service }) => gatewayLabel(config, service) ?? []))]
  const byService = canaries.some(({ stable }) => stable.by === 'service')
  const [pods, workloads, routes] = await Promise.all([
    Promise.all([
      ...namespaces.map((each) => watch<Pod>(cluster, 'Pod', each)),
      ...gateways.map((label) => watch<Pod>(cluster, 'Pod', systemNamespace, { labelSelector: `istio=${label}` })),
    ]),
    Promise.all(
      (['Deployment', 'StatefulSet'] as const).map((kind) =>
        watch<Workload>(cluster, kind, namespace).catch(emptyWhenUnread),
      ),
    ),
    Promise.all([
      watch<VirtualService>(cluster, 'VirtualService', namespace),
      ...(byService
        ? (['HTTPRoute', 'GRPCRoute'] as const).map((kind) =>
            watch<GatewayRoute>(cluster, kind, namespace).catch(emptyWhenUnread),
          )
        : []),
    ]),
  ])
  return { pods, workloads: workloads.flat(), routes: routes.flat() }
}

/** Until all have ended: by themselves, because another one was put back, or because the run is cancelled. */
async function runLoop(config: Config, moved: PromotionRun[], { signal }: PromoteDeps): Promise<void> {
  const pollMs = Math.min(...moved.map(({ plan }) => plan.pollInterval))
  const cancelled = new Promise<true>((resolve) =>
    signal.addEventListener('abort', () => resolve(true), { once: true }),
  )
  while (moved.some((each) => each.busy())) {
    const ticks = sleep(pollMs, false, { signal })
      .then(() => Promise.all(moved.map((each) => each.tick())))
      .catch(() => undefined)
    // A cancel does not wait for a look that is under way.
    await withHeartbeat(moved, Promise.race([ticks, cancelled]))
    if (signal.aborted)
      return void (await Promise.all(
        moved.filter((each) => each.busy()).map((each) => each.cancel('the run was cancelled')),
      ))
    const back = moved.find((each) => isBad(each) && each.state().weight === 0)
    if (back && config.together)
      await stopAll(
        moved.filter((each) => each !== back && !isBad(each)),
        `put back together with ${back.plan.service}`,
        back.plan.service,
      )
  }
}

async function stopAll(moving: PromotionRun[], reason: string, along?: string): Promise<void> {
  await Promise.all(moving.map((each) => each.stop(reason, along)))
}

const isMoving = ({ state }: PromotionRun) => state().phase !== 'ended'

function isBad({ state }: PromotionRun): boolean {
  const now = state()
  return now.phase === 'ended' && now.verdict !== 'promoted' && !isHeldAsPlanned(now)
}
