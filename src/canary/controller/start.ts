// Starts a promotion: claims its Lease, reads what it begins with, and resumes what an earlier run left.
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import type { Pod } from '../../cluster/objects.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import { hostOf } from '../../policies/compile/names.ts'
import { initialState, resumeState } from '../state/start.ts'
import type { ActiveState, State } from '../state/types.ts'
import { createObserver, type Observer } from '../metrics/observer.ts'
import { openSession, type LeaseSession } from '../ownership/session.ts'
import type { Split } from '../../policies/routes.ts'
import { findPaths, type Paths } from '../traffic/paths.ts'
import { readWeight, removeManagedRoutes } from '../traffic/router.ts'
import { templateHash, workloadsOf } from '../workload/fingerprint.ts'
import { selectorsOf, type VersionSelectors } from '../workload/selectors.ts'
import { currentObjects, splitOf, type PromotionDeps, type WatchedObjects } from './context.ts'
import { PromotionRun } from './promotion.ts'

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
  const note = (line: string) => deps.note(config.canary ? line : `${plan.service}: ${line}`)
  const template = currentTemplate(watched, split.namespace, selectors)
  const { pinned } = await requireNoBypass(cluster, split, plan, selectors, currentObjects(watched.pods), note)
  const session = await openSession(cluster, split, plan, template, selectors, { ...deps, note })
  try {
    // A run that died may have left a mirror or an A/B route, which nothing else would remove.
    await removeManagedRoutes(cluster, split)
    const service = { namespace: split.namespace, host: hostOf(plan.service, split.namespace), ...selectors, plan }
    const observer = await createObserver(cluster, watched.pods, service, note)
    const state = firstState(plan, await readWeight(cluster, split), deps.clock.now(), session, observer)
    if (session.resumedFrom) note(describeResumption(session.resumedFrom))
    return await PromotionRun.start(
      { cluster, config, plan, split, selectors, watched, session, observer, pinned, deps: { ...deps, note } },
      state,
    )
  } catch (problem) {
    const { resumedFrom } = session
    await (resumedFrom ? session.release(resumedFrom) : session.end()).catch(() => undefined)
    throw problem
  }
}

/** @throws Error if requests can reach the canary past its split. What this run cannot see is noted. */
async function requireNoBypass(
  cluster: Cluster,
  split: Split,
  plan: CanaryConfig,
  selectors: VersionSelectors,
  pods: Pod[],
  note: (line: string) => void,
): Promise<Paths> {
  const paths = await findPaths(cluster, split, plan, selectors, { pods })
  if (paths.faults.length > 0) throw new Error(paths.faults.join('\n'))
  if (paths.unseen.length > 0)
    note(
      `this run may not read ${paths.unseen.join(', ')}; a route there past the split shows only in the share of the ` +
        'requests that the canary serves',
    )
  if (plan.prometheus?.counters)
    note('with counters from Prometheus, the share of the requests is not compared with the weight')
  return paths
}

function currentTemplate(watched: WatchedObjects, namespace: string, selectors: VersionSelectors): string {
  const workloads = workloadsOf(currentObjects(watched.workloads), selectors.canary)
  const pods = currentObjects(watched.pods).filter(
    ({ metadata }) => metadata.namespace === namespace && matches(selectors.canary, metadata.labels),
  )
  return templateHash(workloads, pods)
}

function firstState(
  plan: CanaryConfig,
  weight: number,
  now: number,
  { resumedFrom }: LeaseSession,
  { baseline }: Observer,
): ActiveState {
  return resumedFrom ? resumeState(resumedFrom, weight, now) : initialState(plan, weight, now, baseline)
}

function describeResumption({ canary, steps }: State): string {
  return `resumes an earlier run, which saw ${canary.requests} requests of the canary in ${steps.length} steps`
}
