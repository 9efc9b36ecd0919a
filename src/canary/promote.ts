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
import { now } from '../runtime/clock.ts'
import { groupsOf } from './workload/selectors.ts'
import { leftBy } from './ownership/lease.ts'
import { stagesOf, start, type State } from './state/machine.ts'
import {
  begin,
  splitOf,
  type Moving,
  type Promotion,
  type Surroundings as Around,
  type Watched,
} from './controller/promotion.ts'
import type { Sight } from './controller/drain.ts'
import { readSplit, type Split } from './traffic/router.ts'

/** What this process has taken on: whose traffic, under which holder's name. `unseen`: it is put back, and only to be looked at. */
export type Intent = { split: Split; identity: string; sight: Sight; unseen: boolean }

/** `intent` is told what to put back should this process die. */
export type Surroundings = Around & { intent: (intents: Intent[]) => void }

export async function promote(cluster: Cluster, config: Config, around: Surroundings): Promise<Promotion[]> {
  const watched = await watchAll(cluster, config)
  const moved: Moving[] = []
  const skipped: Promotion[] = []
  try {
    for (const plans of wavesOf(config)) {
      const failed = moved.find(isBad)
      for (const plan of plans) {
        around.signal.throwIfAborted()
        const weight = await readSplit(cluster, splitOf(config, plan))
        const why = failed
          ? `the canary of ${failed.plan.service} was not promoted`
          : await nothingToDo(cluster, config, plan, weight)
        if (why === undefined) moved.push(await meanwhile(moved, begin(cluster, config, plan, watched, around)))
        else
          skipped.push({
            ...start(plan, weight, now()),
            phase: 'ended',
            verdict: 'skipped',
            reason: why,
            plan,
            namespace: config.namespace,
          })
        around.intent(intentsOf(moved))
      }
      await ride(config, moved, around)
    }
    const ended = await meanwhile(moved, Promise.all(moved.map((each) => each.finish(around.signal.aborted))))
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

function intentsOf(moved: Moving[]): Intent[] {
  return moved.map(({ split, identity, sight, safe, unseen }) => ({
    split,
    identity,
    sight,
    unseen: safe() && unseen(),
  }))
}

/** Left to the post step is what could not be put back, and what nobody has seen to be quiet. */
const isOpen = ({ safe, unseen }: Moving) => !safe() || unseen()

const beatMs = 2_000

/** While something takes longer than a moment, those that are begun keep their Leases. */
async function meanwhile<T>(moved: Moving[], work: Promise<T>): Promise<T> {
  const beating = setInterval(() => moved.forEach((each) => void each.beat()), beatMs)
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
async function nothingToDo(
  cluster: Cluster,
  config: Config,
  plan: CanaryConfig,
  weight: number,
): Promise<string | undefined> {
  const name = plan.canary.name
  if (
    plan.after === 'adopt' &&
    (await isAdopted(cluster, splitOf(config, plan), await groupsOf(cluster, config, plan)))
  )
    return `stable runs what ${name} runs, and ${name} rests: it was adopted already`
  const last = stagesOf(plan).at(-1)
  const reached = last?.kind === 'weight' && weight >= last.weight
  if (!reached || (plan.after === 'adopt' && weight === 100)) return undefined
  const left = await leftBy(cluster, config.namespace, plan.service)
  return left && left.state.phase !== 'ended' ? undefined : `the canary ${name} already has the weight ${weight}`
}

/** Each is read once and then watched: the pods of the namespace, of the clients beside it and of the gateways; workloads; routes. */
async function watchAll(cluster: Cluster, config: Config): Promise<Watched> {
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
async function ride(config: Config, moved: Moving[], { signal }: Surroundings): Promise<void> {
  const tick = Math.min(...moved.map(({ plan }) => plan.tick))
  const cancelled = new Promise<true>((resolve) =>
    signal.addEventListener('abort', () => resolve(true), { once: true }),
  )
  while (moved.some((each) => each.busy())) {
    const ticks = sleep(tick, false, { signal })
      .then(() => Promise.all(moved.map((each) => each.tick())))
      .catch(() => undefined)
    // A cancel does not wait for a look that is under way.
    await meanwhile(moved, Promise.race([ticks, cancelled]))
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

async function stopAll(moving: Moving[], reason: string, along?: string): Promise<void> {
  await Promise.all(moving.map((each) => each.stop(reason, along)))
}

const isMoving = ({ state }: Moving) => state().phase !== 'ended'

function isBad({ state }: Moving): boolean {
  const { phase, verdict, asPlanned }: State = state()
  return phase === 'ended' && verdict !== 'promoted' && !asPlanned
}
