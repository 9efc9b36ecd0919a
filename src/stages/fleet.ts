// What the run in one cluster of a fleet does beside its stages: it waits for its turn and, when the fleet fails before
// its promotions, returns what an earlier run has left under way.
import { readAnyWeight } from '../canary/traffic/router.ts'
import { PromotionsStopped } from '../canary/waves.ts'
import type { KubeObject } from '../cluster/objects.ts'
import { canariesOf } from '../config/names.ts'
import { splitOf } from '../policies/routes.ts'
import { messageOf } from '../runtime/errors.ts'
import type { StageContext, Turn } from './context.ts'

/** Waits until this run may change something. */
export async function awaitTurn({ cluster, config, connection, others }: StageContext): Promise<Turn> {
  if (!others) return { hasWaited: false, isOutOfTime: false }
  const namespace = await cluster.get<KubeObject>('Namespace', undefined, config.namespace).catch(() => undefined)
  return others.turn({ server: connection.server, uid: namespace?.metadata.uid })
}

/** The clusters of the waves before have handed their promotions over, so this one begins nothing. */
export async function holdBeforeTurn(context: StageContext): Promise<void> {
  const { host, recorder } = context
  const left = await trafficLeft(context)
  const began = "the time of the run (`runFor`) ended before this cluster's wave began; the next run continues"
  const reason = [began, ...left.map(({ text }) => text)].join('; ')
  host.info(reason)
  recorder.record({ verdict: 'held', weight: Math.max(0, ...left.map(({ weight }) => weight)), reason })
}

/**
 * After an error outside the promotions. `hasBegun`: it had its turn. `promote`: the stage, which begins nothing new.
 * @throws Error with the problem, and with each canary that keeps traffic
 */
export async function stopInFleet(
  context: StageContext,
  problem: unknown,
  hasBegun: boolean,
  promote: (context: StageContext) => Promise<void>,
): Promise<never> {
  const { config, others, host, stages, recorder } = context
  const hasPromoted = recorder.current().promotions.length > 0 && !(problem instanceof PromotionsStopped)
  if (!others || hasPromoted || !stages.includes('promote') || config.dryRun || host.signal.aborted) throw problem
  const left = await trafficLeft(context)
  if (left.length === 0) throw problem
  const message = messageOf(problem)
  const elsewhere = others.failure()
  if (!config.together || (!hasBegun && !elsewhere)) throw new Error(`${message}; ${describeLeft(left)}`)
  const failure = `the run failed (${message.split('\n')[0]})`
  // The others need not wait until this cluster is back on stable.
  if (hasBegun) void others.report({ failure, rollsBackOthers: true }).catch(() => undefined)
  const another = await promote({ ...context, ...(elsewhere ? {} : { fleetFailure: failure }) }).then(
    () => undefined,
    messageOf,
  )
  const still = await trafficLeft(context)
  const kept = still.length > 0 ? describeLeft(still) : []
  throw new Error([recorder.current().error ?? [], another ?? [], kept, message].flat().join('\n'))
}

type TrafficLeft = { text: string; weight: number }

function describeLeft(left: TrafficLeft[]): string {
  return `${left.map(({ text }) => text).join(', ')}; run the stage rollback to return it to stable`
}

/** One phrase for each canary that has traffic, or may have. */
async function trafficLeft({ cluster, config }: StageContext): Promise<TrafficLeft[]> {
  const phrases = canariesOf(config).map(async (plan) => {
    const title = `${plan.canary.name} of ${plan.service}`
    try {
      const weight = await readAnyWeight(cluster, splitOf(config, plan))
      return weight === 0 ? [] : [{ weight, text: `${title} keeps its weight ${weight}` }]
    } catch (problem) {
      return [{ weight: 0, text: `the weight of ${title} cannot be read (${messageOf(problem)})` }]
    }
  })
  return (await Promise.all(phrases)).flat()
}
