// The promotions of a run, wave by wave, under one watch: all end on a safe weight whatever happens.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from '../cluster/client.ts'
import { systemNamespace, type Pod } from '../cluster/objects.ts'
import { watch, type Live } from '../cluster/watch.ts'
import { canariesOf } from '../config/names.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import { gatewayLabel } from '../policies/compile/index.ts'
import { isAdopted } from './adopt.ts'
import { groupsOf } from './groups.ts'
import { stagesOf, start, type State } from './machine.ts'
import { begin, splitOf, type Moving, type Promotion, type Surroundings as Around } from './promotion.ts'
import { readSplit, type Split } from './traffic.ts'

/** `intent` is told what to put back should this process die. */
export type Surroundings = Around & { intent: (splits: Split[]) => void }

export async function promote(cluster: Cluster, config: Config, around: Surroundings): Promise<Promotion[]> {
  const pods = await watchPods(cluster, config)
  const moved: Moving[] = []
  const skipped: Promotion[] = []
  try {
    for (const plans of wavesOf(config)) {
      const failed = moved.find(isBad)
      for (const plan of plans) {
        const weight = await readSplit(cluster, splitOf(config, plan))
        const why = failed ? `the canary of ${failed.plan.service} was not promoted` : await nothingToDo(cluster, config, plan, weight)
        if (why === undefined) moved.push(await begin(cluster, config, plan, weight, pods, around))
        else skipped.push({ ...start(plan, weight, Date.now()), phase: 'ended', verdict: 'skipped', reason: why, plan, namespace: config.namespace })
      }
      around.intent(moved.map(({ split }) => split))
      await ride(config, moved, around)
    }
    const ended = await Promise.all(moved.map((each) => each.finish(around.signal.aborted)))
    // What could not be put back is left to the post step.
    around.intent(moved.filter((each) => !each.safe()).map(({ split }) => split))
    return [...ended, ...skipped]
  } catch (error) {
    await stopAll(moved.filter((each) => config.together || isMoving(each)), `the promotion could not go on: ${error instanceof Error ? error.message : String(error)}`)
    throw error
  } finally {
    pods.forEach((each) => each.close())
  }
}

function wavesOf(config: Config): CanaryConfig[][] {
  const all = canariesOf(config)
  return [...new Set(all.map(({ wave }) => wave))].sort((a, b) => a - b).map((wave) => all.filter((plan) => plan.wave === wave))
}

/** Why the canary is left as it is; one that has all the traffic but was not adopted yet still has a way to go. */
async function nothingToDo(cluster: Cluster, config: Config, plan: CanaryConfig, weight: number): Promise<string | undefined> {
  const name = plan.canary.name
  if (plan.after === 'adopt' && (await isAdopted(cluster, splitOf(config, plan), await groupsOf(cluster, config, plan)))) return `stable runs what ${name} runs, and ${name} rests: it was adopted already`
  const last = stagesOf(plan).at(-1)
  const reached = last?.kind === 'weight' && weight >= last.weight
  return reached && !(plan.after === 'adopt' && weight === 100) ? `the canary ${name} already has the weight ${weight}` : undefined
}

/** The pods of the namespace, of the clients beside it, and of the gateways: each read once and then watched. */
async function watchPods(cluster: Cluster, config: Config): Promise<Live<Pod>[]> {
  const clients = canariesOf(config).flatMap((plan) => plan.clients ?? [])
  const namespaces = [...new Set([config.namespace, ...clients])]
  const gateways = [...new Set(canariesOf(config).flatMap(({ service }) => gatewayLabel(config, service) ?? []))]
  return Promise.all([
    ...namespaces.map((namespace) => watch<Pod>(cluster, 'Pod', namespace)),
    ...gateways.map((label) => watch<Pod>(cluster, 'Pod', systemNamespace, { labelSelector: `istio=${label}` })),
  ])
}

/** Until all have ended: by themselves, because another one was put back, or because the run is cancelled. */
async function ride(config: Config, moved: Moving[], { signal }: Surroundings): Promise<void> {
  const tick = Math.min(...moved.map(({ plan }) => plan.tick))
  while (moved.some(isMoving)) {
    const cancelled = await sleep(tick, false, { signal }).catch(() => true)
    if (cancelled) return void (await stopAll(moved.filter(isMoving), 'the run was cancelled'))
    await Promise.all(moved.filter(isMoving).map((each) => each.tick()))
    const back = moved.find((each) => isBad(each) && each.state().weight === 0)
    if (back && config.together) await stopAll(moved.filter((each) => each !== back && !isBad(each)), `put back together with ${back.plan.service}`, back.plan.service)
  }
}

async function stopAll(moving: Moving[], reason: string, along?: string): Promise<void> {
  await Promise.all(moving.map((each) => each.stop('rolled-back', reason, along)))
}

const isMoving = ({ state }: Moving) => state().phase !== 'ended'

function isBad({ state }: Moving): boolean {
  const { phase, verdict, asPlanned }: State = state()
  return phase === 'ended' && verdict !== 'promoted' && !asPlanned
}
