// Settles what an earlier run left of a release: its canary, which may have traffic, and the autoscaler of stable.
import { drainTarget, findUndrained } from '../canary/controller/undrained.ts'
import { forceRollback } from '../canary/recovery.ts'
import { readWeight } from '../canary/traffic/router.ts'
import { istiodReadMs, waitForEndpoints } from '../canary/workload/endpoint-slices.ts'
import {
  raiseMinReplicas,
  restoreMinReplicas,
  waitForReplicas,
  type AutoscalerDeps,
} from '../canary/workload/min-replicas.ts'
import { selectorsOf } from '../canary/workload/selectors.ts'
import type { Workload } from '../cluster/objects.ts'
import type { CanaryConfig } from '../config/schema.ts'
import { restart } from '../mesh/inject.ts'
import { splitOf } from '../policies/routes.ts'
import { removeCanary, waitUntilGone } from '../release/canary.ts'
import { currentPlan } from '../release/config.ts'
import type { Release } from '../release/plan.ts'
import { systemClock } from '../runtime/clock.ts'
import { waitForRollout } from '../verify/rollout.ts'
import { warn, type StageContext } from './context.ts'

export function autoscalerDeps(context: StageContext): AutoscalerDeps {
  const { host } = context
  return { note: host.info, warn: (line) => warn(context, [line]), signal: host.signal, clock: systemClock }
}

/** The canary of an older release goes before the new one comes. Its traffic returns to stable first. */
export async function removeOldCanary(context: StageContext, { plan, stable }: Release, old: Workload): Promise<void> {
  const { cluster, config, host } = context
  host.info(`Deployment/${old.metadata.name}: an earlier run left it with another release; it is removed first`)
  await returnTraffic(context, plan, stable, old)
  await removeCanary(cluster, old)
  await waitUntilGone(cluster, config.namespace, plan.service, plan.progressDeadline, host.signal)
}

/** @throws Error if stable is too small, or if the canary still serves. */
async function returnTraffic(
  context: StageContext,
  plan: CanaryConfig,
  stable: Workload,
  canary: Workload,
): Promise<void> {
  const { cluster, config, host } = context
  const current = currentPlan(config, plan)
  const split = splitOf(config, current)
  if ((await readWeight(cluster, split)) === 0) return
  const deps = { ...autoscalerDeps(context), timeoutMs: plan.progressDeadline }
  const carrying = Math.max(stable.spec.replicas ?? 1, canary.spec.replicas ?? 1)
  const replicas = await raiseMinReplicas(cluster, plan.service, stable, carrying, deps)
  // A run that died while stable got its new template has left it with pods that may not be ready.
  await waitForRollout(cluster, stable, plan.progressDeadline, host.signal)
  if (replicas !== undefined) await waitForReplicas(cluster, stable, replicas, deps)
  await waitForEndpoints(cluster, split, stable, deps)
  await systemClock.sleep(istiodReadMs)
  await forceRollback(cluster, split, { run: host.runName, timeoutMs: plan.progressDeadline })
  const selectors = await selectorsOf(cluster, config, current)
  const undrained = await findUndrained(cluster, split, drainTarget(plan, selectors), host.info)
  if (undrained) throw new Error(undrained.text)
  host.info(`all traffic of ${plan.service} is back at stable`)
}

/**
 * Stable runs the release, but an earlier run did not get as far as removing the canary. Returns what was left to do.
 * @throws Error if stable cannot take the traffic, or if a cancel leaves something to the next run
 */
export async function finishRelease(context: StageContext, { plan, stable, left }: Release): Promise<string> {
  const { cluster, config, host } = context
  // The earlier run may have written the ConfigMaps, and died before the pods of stable started again to read them.
  if (plan.manifests && plan.after !== 'gitops' && !left!.isSame) await restart(cluster, stable)
  await waitForRollout(cluster, stable, plan.progressDeadline, host.signal)
  await returnTraffic(context, plan, stable, left!.deployment)
  const deps = autoscalerDeps(context)
  const { unrestored } = await restoreMinReplicas(cluster, config.namespace, plan.service, deps)
  if (unrestored !== undefined) {
    const title = `Deployment/${left!.deployment.metadata.name}`
    throw new Error(`${unrestored}; ${title} keeps running until the next run with this release, which removes it`)
  }
  await removeCanary(cluster, left!.deployment)
  await waitUntilGone(cluster, config.namespace, plan.service, plan.progressDeadline, host.signal)
  return (
    `Deployment/${stable.metadata.name} runs this release already; all traffic is there, and the canary that an ` +
    'earlier run left is removed'
  )
}
