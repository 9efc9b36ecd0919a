// Starts a promotion: claims its Lease, reads what it begins with, and resumes what an earlier run left.
import type { Cluster } from '../../cluster/client.ts'
import { systemNamespace, type Pod } from '../../cluster/objects.ts'
import { canaryKeyOf } from '../../config/names.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import { hostOf } from '../../policies/compile/names.ts'
import { describeInexact } from '../analysis/check-sentences.ts'
import { initialState, resumeState, withStepLeft } from '../state/start.ts'
import type { ActiveState, State } from '../state/types.ts'
import { counterReaderFor, createObserver } from '../metrics/observer.ts'
import { retryDefaults, retryPolicies, type RetryPolicy } from '../metrics/retries.ts'
import { openSession } from '../ownership/session.ts'
import { readMeshConfigs } from '../../mesh/mesh-config.ts'
import { splitOf } from '../../policies/routes.ts'
import { findBypasses, type Bypasses } from '../traffic/bypasses.ts'
import { unjudgedRoutes } from '../traffic/unjudged-routes.ts'
import {
  hasWeight,
  readHighestWeight,
  readWeight,
  removeManagedRoutes,
  resetToStable,
  setWeight,
} from '../traffic/router.ts'
import { rollbackObstacle } from '../workload/endpoints.ts'
import { selectorsOf, type VersionSelectors } from '../workload/selectors.ts'
import {
  currentObjects,
  noteFor,
  templateOf,
  type PromotionContext,
  type PromotionDeps,
  type WatchedObjects,
} from './context.ts'
import { PromotionRun } from './promotion.ts'
import { requireReadGateways } from './gateways.ts'
import { startWeightOf } from './start-weight.ts'

/** @throws Error when another run holds the Lease, or when the guard or the counters are not available. */
export async function startPromotion(
  cluster: Cluster,
  config: Config,
  plan: CanaryConfig,
  watched: WatchedObjects,
  deps: PromotionDeps,
): Promise<PromotionRun> {
  const split = splitOf(config, plan)
  const selectors = await selectorsOf(cluster, config, plan)
  const note = noteFor(config, plan, deps.note)
  const warn = (line: string) => deps.warn(`${canaryKeyOf(config, plan.service)}: ${line}`)
  const template = templateOf(watched, split.namespace, selectors)
  const { pinned, routes } = await requireNoBypass(cluster, config, plan, selectors, currentObjects(watched.pods), note)
  const unread = deps.unreadGateways?.(plan.service) ?? []
  requireReadGateways(unread, plan, canaryKeyOf(config, plan.service), currentObjects(watched.pods), note)
  const session = await openSession(cluster, split, plan, template, selectors, { ...deps, note })
  try {
    requireOwnCanary(plan, templateOf(watched, split.namespace, selectors), deps)
    // A run that died may have left a mirror or an A/B route, which nothing else would remove.
    await removeManagedRoutes(cluster, split, session.confirm)
    // Of other namespaces, as they are now.
    const elsewhere = routes.filter(({ metadata }) => metadata.namespace !== split.namespace)
    const defaults = await defaultRetryPolicies(cluster, note)
    const service = {
      namespace: split.namespace,
      host: hostOf(plan.service, split.namespace),
      ...selectors,
      plan,
      retries: () => retryPolicies([...currentObjects(watched.routes), ...elsewhere], split, defaults),
      warn,
    }
    const readCounters = counterReaderFor(cluster, service, deps.readSidecars)
    const observer = await createObserver(cluster, watched.pods, service, note, readCounters)
    const { p99 } = plan.checks
    const inexact = p99 === undefined ? undefined : describeInexact(observer.baseline.times, p99)
    if (inexact !== undefined) warn(inexact)
    const shared = { cluster, config, plan, split, selectors, watched, pinned }
    const context = { ...shared, session, observer, deps: { ...deps, note } }
    return await PromotionRun.start(context, await firstState(context))
  } catch (problem) {
    await session.abandon()
    throw problem
  }
}

/** @throws Error if another run has written the canary that this run created, before this run had the Lease. */
function requireOwnCanary({ service }: CanaryConfig, template: string, { created }: PromotionDeps): void {
  const own = created?.(service)
  if (!own || own.template === template) return
  throw new Error(
    `the canary of ${service} was changed since this run created it: another run releases ${service} as well; wait until ` +
      'that run has ended, and run again',
  )
}

/** @throws Error if requests can bypass the canary's split, or move unjudged. What this run cannot see is noted. */
async function requireNoBypass(
  cluster: Cluster,
  config: Config,
  plan: CanaryConfig,
  selectors: VersionSelectors,
  pods: Pod[],
  note: (line: string) => void,
): Promise<Bypasses> {
  const split = splitOf(config, plan)
  const bypasses = await findBypasses(cluster, split, plan, selectors, { pods })
  const key = canaryKeyOf(config, plan.service)
  const faults = [...bypasses.faults, ...unjudgedRoutes(bypasses.routes, split, plan)]
  if (faults.length > 0) throw new Error(faults.map((fault) => `${key}: ${fault}`).join('\n'))
  if (bypasses.unseen.length > 0)
    note(
      `this run may not read ${bypasses.unseen.join(', ')}; a route there past the split shows only in the share of the ` +
        'requests that the canary serves',
    )
  if (plan.prometheus?.counters)
    note('with counters from Prometheus, the share of the requests is not compared with the weight')
  return bypasses
}

/** Where a route states no retries: what the mesh says, as far as this run may read it. */
export async function defaultRetryPolicies(cluster: Cluster, note: (line: string) => void): Promise<RetryPolicy[]> {
  const meshes = await readMeshConfigs(cluster)
  if (!meshes)
    note(
      `this run may not read the ConfigMaps of ${systemNamespace}, so it takes Istio's own default for routes that ` +
        'state no retries; a `defaultHttpRetryPolicy` of the mesh with more attempts would count a failed user more than once',
    )
  return retryDefaults(meshes ?? [])
}

/** Of a new promotion, or of the one that this run resumes. */
async function firstState(context: PromotionContext): Promise<ActiveState> {
  const { cluster, split, plan, session, observer, deps } = context
  const { resumedFrom } = session
  const live = await readWeight(cluster, split)
  if (resumedFrom) {
    deps.note(describeResumption(resumedFrom))
    const isAsLeft = await hasWeight(cluster, split, resumedFrom.weight)
    return withStepLeft(plan, resumeState(resumedFrom, isAsLeft ? resumedFrom.weight : live, deps.clock.now()))
  }
  const { weight, passed } = startWeightOf(plan, live, session.lastOutcome, session.template)
  // After an interrupted write, routes may differ.
  const found = await readHighestWeight(cluster, split)
  if (weight < found) await lowerUnobserved(context, found, weight)
  return initialState(plan, weight, deps.clock.now(), observer.baseline, { passed, found })
}

async function lowerUnobserved(context: PromotionContext, found: number, weight: number): Promise<void> {
  const { cluster, split, selectors, watched, session, deps } = context
  deps.note(
    `${split.canary.name} has the weight ${found}, and no promotion has observed its pod template there: ` +
      `it goes back to ${weight} and starts at the first step that it has not passed`,
  )
  const obstacle = rollbackObstacle(currentObjects(watched.pods), split, selectors)
  if (obstacle !== undefined) throw new Error(`the weight of ${split.canary.name} cannot be lowered: ${obstacle}`)
  await (weight === 0
    ? resetToStable(cluster, split, { beforeWrite: session.confirm })
    : setWeight(cluster, split, weight, session.confirm))
}

function describeResumption({ canary, steps }: State): string {
  return `resumes an earlier run, which saw ${Math.round(canary.requests)} requests of the canary in ${steps.length} steps`
}
