// The stage rollback: moves all traffic to stable at once, and checks that the proxies follow.
import { describeOutage, hasEndpoint } from '../canary/workload/endpoints.ts'
import { restoreMinReplicas } from '../canary/workload/min-replicas.ts'
import { readSelectors, SelectorFault } from '../canary/workload/selectors.ts'
import type { Verdict } from '../canary/state/types.ts'
import { drainTarget, findUndrained, type Undrained } from '../canary/controller/undrained.ts'
import { readRoutes } from '../canary/traffic/router.ts'
import { forceRollback } from '../canary/recovery.ts'
import { urgent, type Cluster } from '../cluster/client.ts'
import type { Pod } from '../cluster/objects.ts'
import { abRouteName, canariesOf, followedCanariesOf } from '../config/names.ts'
import { canaryWeightOf, isVirtualService, splitOf, splitsIn, type Routed } from '../policies/routes.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import { rollBackFollowed } from '../engines/recovery.ts'
import { messageOf } from '../runtime/errors.ts'
import { warn, type StageOutcome, type StageContext } from './context.ts'
import { autoscalerDeps } from './release-leftovers.ts'

/**
 * Moves all traffic to stable, whatever state the promotions are in, and checks that the proxies follow.
 * @throws Error that names each canary whose traffic cannot return, or did not; the traffic of all others has returned.
 */
export async function rollback(rateLimited: StageContext): Promise<StageOutcome> {
  const context = { ...rateLimited, cluster: urgent(rateLimited.cluster) }
  const { config, recorder } = context
  if (config.dryRun) return { changed: false }
  // At once, so that one that the API server refuses for a long time does not keep users on the other canaries.
  const results = await Promise.all([
    ...canariesOf(config).map((plan) => rollBackOne(context, plan)),
    ...followedCanariesOf(config).map((plan) => abortFollowed(context, plan)),
  ])
  const moved = results.flatMap(({ plan, changed }) => (changed ? [plan.service] : []))
  const failed = results.flatMap(({ failure }) => failure ?? [])
  const problems = [...failed, ...results.flatMap(({ undrained }) => undrained?.text ?? [])]
  const unrestored = results.flatMap((each) => each.unrestored ?? [])
  recorder.record({
    ...rollbackVerdict(moved, problems, unrestored),
    ...(failed.length > 0 ? {} : { weight: 0 }),
    returned: moved,
  })
  if (problems.length > 0) throw new Error(problems.join('\n'))
  return { changed: moved.length > 0 || results.some(({ restored }) => restored) }
}

/**
 * `changed`: weights moved. `failure`: why the traffic is not back at stable. `restored`: an autoscaler was written.
 * `unrestored`: which autoscaler of stable keeps what the promotion has set.
 */
type RolledBack = {
  plan: CanaryConfig
  changed: boolean
  failure?: string
  undrained?: Undrained | undefined
  restored?: boolean
  unrestored?: string | undefined
}

async function rollBackOne(context: StageContext, plan: CanaryConfig): Promise<RolledBack> {
  const { config, host, cluster } = context
  const { service, stable, canary } = plan
  try {
    await requireStable(context, plan)
    const changed = await forceRollback(cluster, splitOf(config, plan), {
      run: host.runName,
      timeoutMs: plan.progressDeadline,
    })
    host.info(
      changed
        ? `the routes send all traffic of ${service} to ${stable.name}`
        : `the routes give ${canary.name} of ${service} no traffic: nothing changed`,
    )
    const undrained = await undrainedOf(context, plan, !changed)
    return { plan, changed, undrained, ...(await restoreAutoscaler(context, service)) }
  } catch (problem) {
    return { plan, changed: false, failure: `${service} was not rolled back: ${messageOf(problem)}` }
  }
}

/** The rollout of a controller, which returns the traffic itself. */
async function abortFollowed({ cluster, config, host }: StageContext, plan: CanaryConfig): Promise<RolledBack> {
  try {
    return { plan, changed: await rollBackFollowed(cluster, config.namespace, plan, host.info) }
  } catch (problem) {
    return { plan, changed: false, failure: `${plan.service} was not rolled back: ${messageOf(problem)}` }
  }
}

/** Also when the traffic is back already: a cancelled promotion may have left the autoscaler raised. */
async function restoreAutoscaler(
  context: StageContext,
  service: string,
): Promise<Pick<RolledBack, 'restored' | 'unrestored'>> {
  try {
    const deps = autoscalerDeps(context)
    const { changed, unrestored } = await restoreMinReplicas(context.cluster, context.config.namespace, service, deps)
    return { restored: changed, unrestored }
  } catch (problem) {
    const unrestored = `the autoscaler of ${service} was not restored: ${messageOf(problem)}; run the stage \`rollback\` again`
    warn(context, [unrestored])
    return { unrestored }
  }
}

/** @throws Error if no traffic may return to this stable version, before anything of it is written. */
async function requireStable({ config, host, cluster }: StageContext, plan: CanaryConfig): Promise<void> {
  const outage = await stableOutage(cluster, config, plan).catch((problem: unknown) => {
    host.info(`cannot check whether ${plan.stable.name} of ${plan.service} serves: ${messageOf(problem)}`)
    return undefined
  })
  if (outage === undefined || (await hasNoTraffic(cluster, config, plan))) return
  throw new Error(`${outage}; then run the stage rollback again: nothing of ${plan.service} was changed`)
}

/** True if every route gives the canary weight 0 already, and `ab` sends it no requests that match. */
async function hasNoTraffic(cluster: Cluster, config: Config, plan: CanaryConfig): Promise<boolean> {
  const split = splitOf(config, plan)
  const routes = await readRoutes(cluster, split).catch(() => [])
  const isMatching = (object: Routed) =>
    isVirtualService(object) && (object.spec.http ?? []).some(({ name }) => name === abRouteName)
  const weights = routes.flatMap((object) => splitsIn(object, split)).map(canaryWeightOf)
  return weights.length > 0 && weights.every((weight) => weight === 0) && !routes.some(isMatching)
}

async function stableOutage(cluster: Cluster, config: Config, plan: CanaryConfig): Promise<string | undefined> {
  const [{ stable }, pods] = await Promise.all([
    readSelectors(cluster, config, plan),
    cluster.list<Pod>('Pod', config.namespace),
  ])
  if (stable instanceof SelectorFault) {
    if (stable.isEmpty) return stable.message
    throw stable
  }
  return hasEndpoint(pods, config.namespace, stable) ? undefined : describeOutage(splitOf(config, plan))
}

/**
 * Traffic is rolled back only when nobody reaches the canary any more. `moved`: the services whose weights moved.
 * `unrestored`: what keeps no traffic from stable, but is not as before the promotion.
 */
function rollbackVerdict(
  moved: string[],
  problems: string[],
  unrestored: string[],
): { verdict: Verdict; reason: string } {
  const did =
    moved.length > 0
      ? `the stage rollback set the canary's weight to 0 (${moved.join(', ')})`
      : problems.length > 0
        ? 'the stage rollback wrote no weight'
        : "the canary's weight was 0 already"
  const but = [...problems, ...unrestored]
  const reason = but.length > 0 ? `${did}; but ${but.join('; ')}` : did
  if (problems.length > 0) return { verdict: 'inconclusive', reason }
  return { verdict: moved.length > 0 ? 'rolled-back' : 'skipped', reason }
}

async function undrainedOf(
  { config, host, cluster }: StageContext,
  plan: CanaryConfig,
  isUnmoved: boolean,
): Promise<Undrained | undefined> {
  try {
    // Versions that have pods in common can be checked as well.
    const { stable, canary } = await readSelectors(cluster, config, plan)
    if (stable instanceof SelectorFault) throw stable
    if (canary instanceof SelectorFault) throw canary
    const target = { ...drainTarget(plan, { stable, canary }), isUnmoved }
    return await findUndrained(cluster, splitOf(config, plan), target, host.info)
  } catch (problem) {
    const text = `this run cannot check whether ${plan.canary.name} of ${plan.service} still serves: ${messageOf(problem)}`
    return { kind: 'unseen', text }
  }
}
